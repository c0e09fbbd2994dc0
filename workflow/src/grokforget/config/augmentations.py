"""The augmentations that a recipe can train on: one class of settings each."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component, component_union, registry
from grokforget.config.data import DataSet


class Augmentation(Component):
    """Settings of an augmentation, all of which are of images."""

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        """What was found and what is allowed, where it cannot be done to a data set."""
        return None if data.inputs == "images" else (f"{self.kind} of {data.inputs}", "data of images, or null")


class CropFlip(Augmentation):
    """Random crops of the padded image, and random flips: what is usual for CIFAR (He et al. 2016, arXiv 1512.03385)."""

    implementation: ClassVar[str] = "grokforget.training.augmentations.crop_flip:CropFlip"

    kind: Literal["crop-flip"] = "crop-flip"
    padding: int = Field(default=4, ge=0, le=64)
    """Black pixels on every side, out of which a piece of the image's size is cut."""
    flip: bool = True
    """Whether every second image, by chance, is mirrored left to right: not where that makes another class, as of digits."""

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        if data.image_side and self.padding >= data.image_side:
            return f"padding {self.padding} of images of {data.image_side} pixels", "less than their side"
        return super().conflict_with(data)


AUGMENTATIONS = registry(CropFlip)
AugmentationSettings = component_union(AUGMENTATIONS)
