"""Random crops and flips, the augmentation that is usual for CIFAR (He et al. 2016, arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.runtime.seeds import derive_seed
from grokforget.training.augmentations.base import Augmentation


class CropFlip(Augmentation):
    """Every image surrounded by ``padding`` black pixels (0) and cut at random to its size, as torchvision's ``RandomCrop``
    does it; and, with ``flip``, mirrored left to right in half of all cases. Each image is drawn for itself."""

    def __init__(self, *, padding: int, flip: bool) -> None:
        self.padding, self.flip = padding, flip

    def draw(self, n: int, seed: int, step: int) -> Tensor:
        """Of each image the first row and column of the cut within the padded image, and whether (0, 1) it is mirrored: (3, n)
        int64, on the CPU."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "augmentation", step))
        corners = torch.randint(2 * self.padding + 1, (2, n), generator=generator)
        mirrored = torch.randint(2, (1, n), generator=generator) * self.flip
        return torch.cat([corners, mirrored])

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        top, left, mirrored = drawn[:, :, None]
        number, row, column = (torch.arange(size, device=images.device) for size in (n, height, width))
        rows = number[:, None] * (height + 2 * self.padding) + top + row
        columns = left + torch.where(mirrored.bool(), width - 1 - column, column)
        # The pixels of the padded images, one behind the other, of which every new pixel is one.
        pixels = functional.pad(images, [self.padding] * 4).permute(0, 2, 3, 1).reshape(-1, channels)
        source = rows[:, :, None] * (width + 2 * self.padding) + columns[:, None, :]
        cut = pixels.index_select(0, source.flatten()).view(n, height, width, channels).permute(0, 3, 1, 2)
        return cut.contiguous(memory_format=_format(images))


def _format(images: Tensor) -> torch.memory_format:
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
