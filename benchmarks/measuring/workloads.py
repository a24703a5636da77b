"""What is trained while a loop is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from bigmodel_lab.data import load_data
from bigmodel_lab.data.base import Data, Split
from bigmodel_lab.models import MODELS


@dataclass(frozen=True)
class Workload:
    """A model, its images, and how long a measured block is."""

    name: str
    """``"nano"``, or the documented model's name."""
    batch: int
    """Samples in a step."""
    warm_up: int
    """Steps before the block: about half a second, so that what a tool does once, at its start, is over."""
    steps: int
    """Steps of the block."""
    every: int
    """Steps between two pictures of a loop that draws."""
    build: Callable[[], nn.Module]
    """Makes the model."""
    images: Callable[[], Split]
    """Makes the images; repeated until they suffice for all steps."""

    @property
    def all_steps(self) -> int:
        """Steps of a whole pass: warm-up, block, and one that the last stamp needs."""
        return self.warm_up + self.steps + 1

    @property
    def data(self) -> Data:
        """As many images as a whole pass takes."""
        return _repeated(self.name, self.batch * self.all_steps)


def _digits() -> Split:
    """The embedded digits, (1797, 1, 28, 28) or a little fewer, uint8."""
    return load_data("digits", test_fraction=0.0, validation_fraction=0.0).train


def _small_digits() -> Split:
    """The same as 64 pixels of 8×8, (…, 64), uint8."""
    split = _digits()
    small = nn.functional.interpolate(split.x.float(), size=(8, 8), mode="area")
    return Split(small.flatten(1).to(torch.uint8), split.y)


def _nano() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


WORKLOADS = {
    w.name: w
    for w in (
        Workload("tiny", 4, 2, 5, 2, _nano, _small_digits),
        Workload("nano", 16, 700, 1000, 100, _nano, _small_digits),
        Workload("mlp", 64, 120, 150, 50, MODELS.get("mlp").build, _digits),
        Workload("simple_cnn", 64, 9, 12, 12, MODELS.get("simple_cnn").build, _digits),
    )
}
"""By name; ``tiny`` says nothing about speed, only that a loop runs."""


@lru_cache(maxsize=len(WORKLOADS))
def _repeated(name: str, samples: int) -> Data:
    split = WORKLOADS[name].images()
    index = torch.arange(samples) % len(split)
    nothing = split.select(torch.arange(0))
    classes = max(2, int(split.y.max()) + 1)
    return Data(name, "benchmark", split.select(index), nothing, nothing, scale=1 / 255, classes=classes)
