"""The models: one class of settings each, the code in the file that ``implementation`` names."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from grokforget.config.base import component_union, problem, registry
from grokforget.config.data import DataSet
from grokforget.config.model_settings.base import Model as Model  # also for those who import it from here
from grokforget.config.model_settings.base import Width
from grokforget.config.model_settings.causal_lm import CausalLM
from grokforget.config.torchvision_names import torchvision_names
from grokforget.config.work import Extent, ModelWork, convolution, linear, norm


def attention_block(width: int, heads: int, hidden: int, positions: int, asked: int) -> ModelWork:
    """Attention of ``asked`` of the positions to all, and an MLP at these."""
    projections = linear(width, width, bias=False, positions=positions) * 2
    projections += linear(width, width, bias=False, positions=asked) * 2
    scores = ModelWork(flops=4 * asked * positions * width, kept=asked * positions * heads)
    return projections + scores + linear(width, hidden, positions=asked) + linear(hidden, width, positions=asked)


class MLP(Model):
    """Multi-layer perceptron."""

    implementation: ClassVar[str] = "grokforget.models.mlp:MLP"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "regression")
    homogeneous: ClassVar[bool] = True

    kind: Literal["mlp"] = "mlp"
    hidden: list[Width] = Field(default=[200, 200], min_length=1)
    """Widths of the hidden layers; [200, 200] in Omnigrok (arXiv 2210.01117)."""
    activation: Literal["relu", "quadratic"] = "relu"
    """``quadratic`` (x²) for modular arithmetic (Gromov 2023, arXiv 2301.02679)."""
    bias: bool = True
    """Whether the layers have biases."""
    initialisation: Literal["default", "normal"] = "default"
    """``default``: PyTorch's; ``normal``: N(0, 1)/√fan_in."""

    def work(self, data: DataSet, extent: Extent) -> ModelWork:
        layers = pairwise([extent.features, *self.hidden, extent.classes])
        return sum((linear(*sizes, bias=self.bias) for sizes in layers), ModelWork())


class CNN(Model):
    """Blocks of convolution, ReLU and 2x2 max pool, then one hidden layer."""

    implementation: ClassVar[str] = "grokforget.models.cnn:CNN"
    homogeneous: ClassVar[bool] = True
    in_paper: ClassVar[str | None] = "cnn"
    needs: ClassVar[str | None] = "images"

    kind: Literal["cnn"] = "cnn"
    channels: list[Width] = Field(default=[32, 32], min_length=1)
    """Output channels of the convolutions."""
    kernel_size: Literal[3, 5, 7] = 3
    """Height and width of the convolutions, pixels; odd, and padded so that they keep the size."""
    hidden: Width = 128
    """Width of the fully connected hidden layer."""

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        if data.image_side and data.image_side < 2 ** len(self.channels):
            return f"{len(self.channels)} poolings of {data.image_side} pixels", "fewer channels"
        return super().conflict_with(data)

    def work(self, data: DataSet, extent: Extent) -> ModelWork:
        found, side = ModelWork(), data.image_side
        for sizes in pairwise([data.image_channels, *self.channels]):
            found += convolution(*sizes, self.kernel_size, side, bias=True)
            side //= 2
        return found + linear(self.channels[-1] * side**2, self.hidden) + linear(self.hidden, extent.classes)


class ResNet(Model):
    """Residual network (arXiv 1512.03385; with pre-activation, arXiv 1603.05027): the paper's is ``depth`` 18."""

    implementation: ClassVar[str] = "grokforget.models.resnet:ResNet"
    in_paper: ClassVar[str | None] = "resnet"
    hidden_matrices: ClassVar[bool] = False
    needs: ClassVar[str | None] = "images"

    kind: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50] = 18
    """Layers with weights on the longest way through; 50 has bottlenecks."""
    width: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the first of the four stages; each has twice those of the one before."""
    stem: Literal["3x3", "7x7"] = "3x3"
    """The first convolution: ``3x3`` of stride 1, for images of 8 pixels or more; ``7x7`` of stride 2 with a max pooling behind
    it, which is ImageNet's, for 32 pixels or more."""
    norm: Literal["batch", "group", "none"] = "batch"
    """``group``: up to 32 groups of two channels or more (arXiv 1803.08494); ``none``: no normalisation, and PyTorch's own
    initialisation of convolutions in place of He's, with which nothing grows from block to block."""
    preactivation: bool = False
    """Whether norm and ReLU stand before a block's convolutions."""

    @property
    def has_batch_norm(self) -> bool:
        return self.norm == "batch"

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        least = {"3x3": 8, "7x7": 32}[self.stem]
        if data.image_side and data.image_side < least:
            return f"a {self.stem} stem on images of {data.image_side} pixels", f"{least} pixels or more"
        return super().conflict_with(data)

    def work(self, data: DataSet, extent: Extent) -> ModelWork:
        normed, bottleneck = self.norm != "none", self.depth >= 50
        large = self.stem == "7x7"
        side = -(-data.image_side // 2) if large else data.image_side
        found = convolution(data.image_channels, self.width, 7 if large else 3, side)
        found += norm(self.width, side**2) * (normed and not self.preactivation)
        side = -(-side // 2) if large else side
        n_in = self.width
        for stage, blocks in enumerate((2, 2, 2, 2) if self.depth == 18 else (3, 4, 6, 3)):
            width = self.width * 2**stage
            n_out = 4 * width if bottleneck else width
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                before, side = side, -(-side // stride)
                if bottleneck:
                    convolutions = [(n_in, width, 1, before), (width, width, 3, side), (width, n_out, 1, side)]
                else:
                    convolutions = [(n_in, width, 3, side), (width, width, 3, side)]
                projected = stride > 1 or n_in != n_out
                found += sum(
                    (convolution(*sizes) for sizes in convolutions), convolution(n_in, n_out, 1, side) * projected
                )
                if normed and self.preactivation:
                    found += norm(n_in, before**2)
                    found += sum((norm(out, at**2) for _, out, _, at in convolutions[:-1]), ModelWork())
                elif normed:
                    found += sum((norm(out, at**2) for _, out, _, at in convolutions), norm(n_out, side**2) * projected)
                n_in = n_out
        found += norm(n_in, side**2) * (normed and self.preactivation)
        return found + linear(n_in, extent.classes)


class ViT(Model):
    """Vision transformer (arXiv 2010.11929) without class token: its output is that of the mean over the positions."""

    implementation: ClassVar[str] = "grokforget.models.vit:ViT"
    needs: ClassVar[str | None] = "images"

    kind: Literal["vit"] = "vit"
    patch: int = Field(default=4, ge=1, le=64)
    """Height and width of a patch, pixels, of which those of the images are multiples."""
    width: Width = 64
    """Width of the residual stream; a multiple of ``heads``."""
    depth: int = Field(default=4, ge=1, le=48)
    """Blocks of attention and MLP."""
    heads: int = Field(default=4, ge=1, le=128)
    """Attention heads of a block."""
    mlp_ratio: float = Field(default=2.0, gt=0, le=64)
    """Hidden neurons of a block's MLP, by the width of the stream."""
    activation: Literal["gelu", "relu"] = "gelu"
    """Of the MLPs. Local complexity is known of ``relu`` alone."""

    def conflict(self) -> tuple[object, str] | None:
        if self.width % self.heads:
            return f"width {self.width} and heads {self.heads}", "a width that is a multiple of heads"
        return None

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        if data.image_side % self.patch:
            return f"patches of {self.patch} on images of {data.image_side} pixels", "a divisor of the images' size"
        return super().conflict_with(data)

    def work(self, data: DataSet, extent: Extent) -> ModelWork:
        positions, hidden = (data.image_side // self.patch) ** 2, round(self.mlp_ratio * self.width)
        block = attention_block(self.width, self.heads, hidden, positions, positions) + norm(self.width, positions) * 2
        patches = linear(data.image_channels * self.patch**2, self.width, positions=positions)
        embedding = ModelWork(parameters=positions * self.width, layers=1)
        return (
            patches + embedding + block * self.depth + norm(self.width, positions) + linear(self.width, extent.classes)
        )


class TorchvisionModel(Model):
    """A classification model of torchvision (``pip install torchvision``), with new weights."""

    implementation: ClassVar[str] = "grokforget.models.torchvision_model:TorchvisionModel"
    needs: ClassVar[str | None] = "images"
    libraries: ClassVar[tuple[str, ...]] = ("torchvision",)

    kind: Literal["torchvision"] = "torchvision"
    name: str
    """Its name there, such as ``resnet18``."""
    options: dict[str, bool | int | float | str | list[int]] = Field(default={})
    """Further arguments of its builder, such as ``width_per_group`` or ``aux_logits``."""

    @property
    def has_batch_norm(self) -> bool:
        return True

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        known = torchvision_names()
        if known is not None and name not in known:
            raise problem("no such model of torchvision", name, known)
        return name

    @field_validator("options")
    @classmethod
    def _own(cls, options: dict[str, object]) -> dict[str, object]:
        for key in ("num_classes", "weights", "progress"):
            if key in options:
                raise problem("an option that is not the model's", key, "options of its architecture", at=[key])
        return options


class Transformer(Model):
    """Decoder-only transformer on token pairs, without layer norm (Nanda et al. 2023, arXiv 2301.05217)."""

    implementation: ClassVar[str] = "grokforget.models.transformer:Transformer"
    needs: ClassVar[str | None] = "tokens"
    has_heads: ClassVar[bool] = True

    kind: Literal["transformer"] = "transformer"
    layers: int = Field(default=1, ge=1, le=48)
    """Blocks of attention and MLP."""
    width: Width = 128
    """Width of the residual stream; a multiple of ``heads``."""
    heads: int = Field(default=4, ge=1, le=128)
    """Attention heads of a block."""
    mlp_width: Width = 512
    """Hidden neurons of a block's MLP."""

    def work(self, data: DataSet, extent: Extent) -> ModelWork:
        """Of the last block at the last of three positions alone; keys, values and the query of the first one are computed once
        a token where it is the only one (``models/transformer.py``)."""
        positions, tokens = 3, extent.features // 2
        sizes = (self.width, self.heads, self.mlp_width)
        embedding = ModelWork(parameters=(tokens + 1 + positions) * self.width, layers=2)
        blocks = attention_block(*sizes, positions, positions) * (self.layers - 1) + attention_block(
            *sizes, positions, 1
        )
        if self.layers == 1:
            once = 2 * self.width**2 * (2 * positions + 1) + 2 * positions * self.width
            blocks += ModelWork(flops=-once)
        return embedding + blocks + linear(self.width, extent.classes, bias=False)

    def conflict(self) -> tuple[object, str] | None:
        if self.width % self.heads:
            return f"width {self.width} and heads {self.heads}", "a width that is a multiple of heads"
        return None


class Phi(Model):
    """The Phi architecture, a decoder of texts (arXiv 2309.05463) whose weights are those of ``PhiForCausalLM``."""

    implementation: ClassVar[str] = "grokforget.models.phi:Phi"
    objectives: ClassVar[tuple[str, ...]] = ("language",)
    has_heads: ClassVar[bool] = True

    kind: Literal["phi"] = "phi"
    layers: int = Field(default=2, ge=1, le=96)
    """Blocks of attention and MLP, side by side."""
    width: Width = 128
    """Width of the residual stream; a multiple of ``heads``."""
    heads: int = Field(default=4, ge=1, le=128)
    """Attention heads of a block."""
    mlp_width: Width = 512
    """Hidden neurons of a block's MLP."""
    partial_rotary: float = Field(default=0.5, gt=0, le=1)
    """Share of a head's numbers that the rotary embedding turns, an even number of them."""

    def conflict(self) -> tuple[object, str] | None:
        if self.width % self.heads:
            return f"width {self.width} and heads {self.heads}", "a width that is a multiple of heads"
        size = self.width // self.heads
        if int(self.partial_rotary * size) < 2 or int(self.partial_rotary * size) % 2:
            return f"partial_rotary {self.partial_rotary} of heads of {size}", "a share that is an even number of it"
        return None

    def work(self, data: DataSet, extent: Extent) -> ModelWork:
        """Of texts that are all as long."""
        positions, vocabulary = extent.features, extent.vocabulary
        block = linear(self.width, self.width, positions=positions) * 4
        block += linear(self.width, self.mlp_width, positions=positions)
        block += linear(self.mlp_width, self.width, positions=positions) + norm(self.width, positions)
        block += ModelWork(flops=4 * positions**2 * self.width, kept=positions**2 * self.heads)
        embedding = ModelWork(parameters=vocabulary * self.width, layers=1)
        output = linear(self.width, vocabulary, positions=positions)
        return embedding + block * self.layers + norm(self.width, positions) + output


MODELS = registry(MLP, CNN, ResNet, ViT, TorchvisionModel, Transformer, Phi, CausalLM)
ModelSettings = component_union(MODELS)
