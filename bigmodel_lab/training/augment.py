"""Random changes of training images, on the device: each image of a batch is turned, scaled and shifted by its own.

Source: D0 (000_7729297fffeb390e), section 9.1: rotation, scaling, cropping. All three are one affine map of the
image plane, so that an image is sampled once and loses little sharpness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.data import Data
from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.checks import SHARE, is_share, need_mapping, need_number, need_whole

_KEYS = ("rotate", "scale", "crop")
_MOST_CHANNELS = 4


class TrainingBatches(Protocol):
    """What the loop takes its batches from."""

    def __len__(self) -> int:
        """Number of samples."""

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Samples and labels with these indices, on their device."""


@dataclass(frozen=True)
class Augmentation:
    """Changes each image of a batch at random; draws from torch's global random numbers.

    What comes in from outside the image is 0.

    >>> images = torch.ones(5, 3, 8, 8)
    >>> Augmentation(rotate=15, scale=0.1, crop=2)(images).shape
    torch.Size([5, 3, 8, 8])
    """

    rotate: float = 0.0
    """Largest turn to either side, in degrees."""
    scale: float = 0.0
    """Largest share by which an image grows or shrinks."""
    crop: int = 0
    """Largest shift along each side, in whole pixels, as when a larger image is cropped."""

    def __call__(self, images: Tensor) -> Tensor:
        """Changed images.

        Args:
            images: Floating point, shape (samples, channels, height, width).
        """
        samples = len(images)
        degrees = self.rotate * _either_side(samples, images)
        factor = 1 + self.scale * _either_side(samples, images)
        shift = torch.randint(-self.crop, self.crop + 1, (samples, 2), device=images.device)
        return warp(images, degrees, factor, shift.to(images.dtype))


class AugmentedBatches:
    """Training batches whose images are changed each time they are taken."""

    def __init__(self, batches: TrainingBatches, augmentation: Augmentation) -> None:
        self._batches = batches
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._batches)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Changed samples, and their labels; an image that is its own label is learned as it was changed."""
        x, y = self._batches.take(index)
        changed = self._augmentation(x)
        return changed, changed if y is x else y


def warp(images: Tensor, degrees: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """Turn, scale and shift images about their middle, by bilinear interpolation.

    Args:
        images: Shape (samples, channels, height, width).
        degrees: Turn of each image, shape (samples,); above 0 against the clock.
        factor: Size of each image's content, shape (samples,); 2 is twice as large.
        shift: Pixels to the left and upwards, shape (samples, 2), as seen before the turn.

    >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> turned = warp(image, torch.tensor([90.0]), torch.ones(1), torch.zeros(1, 2))
    >>> [[round(v) for v in row] for row in turned[0, 0].tolist()]
    [[1, 3], [0, 2]]
    """
    height, width = images.shape[2:]
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos() / factor, angle.sin() / factor
    right, down = shift.unbind(1)
    # The map from places in the result to places in the image, in units of half its width and half its height.
    rows = torch.stack(
        (
            torch.stack((cos, -sin * (height / width), right * (2 / width)), 1),
            torch.stack((sin * (width / height), cos, down * (2 / height)), 1),
        ),
        1,
    )  # (samples, 2, 3)
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def check_augment(augment: Mapping[str, float]) -> None:
    """The setting can be understood.

    Raises:
        UnknownNameError: There is no such change; lists those that exist.
        ConfigError: A number is out of range.

    >>> check_augment({"rotate": 10, "crop": 2})
    """
    need_mapping("augment", augment)
    for key in augment:
        if key not in _KEYS:
            raise UnknownNameError(text("augment.kind", "change of images"), key, _KEYS)
    need_number("rotate", augment.get("rotate", 0), "degrees from 0 (none) to 180", lambda x: 0 <= x <= 180)
    need_number("scale", augment.get("scale", 0), SHARE, is_share)
    need_whole("crop", augment.get("crop", 0), 0)


def augmented(batches: TrainingBatches, augment: Mapping[str, float], data: Data) -> TrainingBatches:
    """The batches, changed at random where that is asked for.

    Args:
        batches: Training samples.
        augment: The setting; empty leaves the batches as they are.
        data: What they are taken from.

    Raises:
        ConfigError: The samples are no images, or are smaller than the shift.
    """
    if not augment:
        return batches
    _check_images(data, int(augment.get("crop", 0)))
    return AugmentedBatches(batches, Augmentation(**augment))  # type: ignore[arg-type]


def _check_images(data: Data, crop: int) -> None:
    shape, x = data.input_shape, data.train.x
    values = x.is_floating_point() or (x.dtype == torch.uint8 and data.scale is not None)
    if len(shape) != 3 or shape[0] > _MOST_CHANNELS or not values:
        raise ConfigError(
            text(
                "error.augment_no_images",
                "augment changes images of shape (channels, height, width) with up to {most} channels; samples of "
                "{data} have shape {shape} and type {type}. Leave augment out, or reshape the samples.",
                most=_MOST_CHANNELS,
                data=data.name,
                shape=shape,
                type=str(x.dtype).removeprefix("torch."),
            )
        )
    if crop >= min(shape[1:]):
        allowed = text("augment.crop_allowed", "smaller than the images of {shape}", shape=shape)
        raise ConfigError(
            text("error.augment_crop", "crop is {crop}, but must be: {allowed}.", crop=crop, allowed=allowed)
        )


def _either_side(samples: int, images: Tensor) -> Tensor:
    """A number between -1 and 1 for each sample."""
    return torch.rand(samples, device=images.device, dtype=images.dtype) * 2 - 1
