"""Residual networks (He et al. 2016: arXiv 1512.03385; with pre-activation, arXiv 1603.05027).

The layers of depth 18, 34 and 50 are torchvision's, with any width: with the 7x7 stem, width 64 and batch norm the same
weights give the same outputs (a test holds them equal). In a block with pre-activation the projection of the shortcut takes
what the first norm and ReLU give, as in the authors' code, and a last norm and ReLU stand before the pooling.
"""

from __future__ import annotations

from torch import Tensor, nn

from grokforget.data.shape import DataShape
from grokforget.models.images import ConvolutionalModel
from grokforget.models.linear import Linear

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""By depth, the residual blocks of each of the four stages, of which every one is twice as wide as the one before, and all
but the first halve the height and the width."""
BOTTLENECK_DEPTH = 50
"""From this depth on a block is 1x1, 3x3 and 1x1 convolutions, the last with ``EXPANSION`` times the channels; below, two 3x3."""
EXPANSION = 4
STEMS = {"3x3": 8, "7x7": 32}
"""The first convolution, and the height and width of an image of which one position is left at the end."""


def norm_of(kind: str, channels: int) -> nn.Module:
    """A normalisation: ``batch``, ``group`` or ``none``."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        # 32 in arXiv 1803.08494; a group of one channel would have no contrast within it.
        groups = max(n for n in range(1, 33) if channels % n == 0 and (n == 1 or 2 * n <= channels))
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def convolution(n_in: int, n_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False)


class Block(nn.Module):
    """A residual branch, and a shortcut that is a projection where the branch changes the shape."""

    def __init__(self, n_in: int, width: int, stride: int, *, bottleneck: bool, norm: str, preactivation: bool) -> None:
        super().__init__()
        if bottleneck:
            self.n_out = EXPANSION * width
            sizes = [(n_in, width, 1, 1), (width, width, 3, stride), (width, self.n_out, 1, 1)]
        else:
            self.n_out = width
            sizes = [(n_in, width, 3, stride), (width, width, 3, 1)]
        branch: list[nn.Module] = []
        for position, size in enumerate(sizes):
            if position:
                branch += [norm_of(norm, size[0]), nn.ReLU()]
            branch.append(convolution(*size))
        shortcut: list[nn.Module] = (
            [convolution(n_in, self.n_out, 1, stride)] if stride > 1 or n_in != self.n_out else []
        )
        if not preactivation:
            branch.append(norm_of(norm, self.n_out))
            shortcut += [norm_of(norm, self.n_out)] if shortcut else []
        self.before = nn.Sequential(norm_of(norm, n_in), nn.ReLU()) if preactivation else nn.Identity()
        self.branch = nn.Sequential(*branch)
        self.shortcut = nn.Sequential(*shortcut)
        self.after = nn.Identity() if preactivation else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        entering = self.before(x)
        beside = self.shortcut(entering) if len(self.shortcut) else x
        after: Tensor = self.after(self.branch(entering) + beside)
        return after


class ResNet(ConvolutionalModel):
    """Convolution, four stages of residual blocks, mean over the positions, linear output.

    ``stem``: ``7x7`` is ImageNet's, of stride 2 with a max pooling behind it. ``norm``: see ``norm_of``; there are no biases
    but those of norms and of the output. The convolutions draw from N(0, 2 / fan_out), as torchvision's (and He et al. 2015,
    arXiv 1502.01852); without norms, where that would double the variance in every block, they draw as PyTorch does by
    itself (uniform, a sixth of it by fan_in), which is how Humayun et al. 2024 (arXiv 2402.15555) trained one.
    """

    output_layer = "output"

    def __init__(self, shape: DataShape, *, depth: int, width: int, stem: str, norm: str, preactivation: bool) -> None:
        super().__init__(shape)
        channels, *sides = shape.image_shape()
        if min(sides) < STEMS[stem]:
            raise ValueError(f"a {stem} stem needs images of {STEMS[stem]} pixels or more, not {sides[0]}x{sides[1]}")
        self.norm = norm
        self.stem = nn.Sequential(
            convolution(channels, width, 3) if stem == "3x3" else convolution(channels, width, 7, 2)
        )
        if not preactivation:
            self.stem.extend([norm_of(norm, width), nn.ReLU()])
        if stem == "7x7":
            self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.Sequential()
        n_in = width
        for stage, count in enumerate(BLOCKS[depth]):
            blocks = nn.Sequential()
            for number in range(count):
                stride = 2 if stage and not number else 1
                block = Block(
                    n_in,
                    width * 2**stage,
                    stride,
                    bottleneck=depth >= BOTTLENECK_DEPTH,
                    norm=norm,
                    preactivation=preactivation,
                )
                blocks.append(block)
                n_in = block.n_out
            self.stages.append(blocks)
        self.last = nn.Sequential(norm_of(norm, n_in), nn.ReLU()) if preactivation else nn.Identity()
        self.output = Linear(n_in, shape.n_classes)
        self.reset_parameters()
        self.channels_last()

    def reset_parameters(self) -> None:
        """Draw what the layers draw otherwise by themselves."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and self.norm != "none":
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def from_embedding(self, x: Tensor) -> Tensor:
        return self.output(self.last(self.stages(self.stem(x))).mean((2, 3)))

    def chain(self) -> list[nn.Module]:
        """Its parts in the order in which an example passes them; a shortcut stands behind the branch beside it."""
        return [*self.stem, *(block for stage in self.stages for block in stage.children()), self.last, self.output]
