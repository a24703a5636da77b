"""Batches out of memory: no worker processes, no copies by sample.

Small samples are cheapest as one uint8 tensor: a batch is one ``index_select`` and one
multiplication, some 30 µs for 64 images of 28×28, where a ``DataLoader`` takes 240 µs or more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bigmodel_lab.data.base import Data, Split


def epoch_order(samples: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits the samples: depends on nothing but these three numbers.

    So a run that goes on in the middle of an epoch visits exactly the samples that are left.

    Args:
        samples: How many there are.
        seed: Of the run, from 0.
        epoch: From 0.

    >>> bool((epoch_order(100, seed=1, epoch=3) == epoch_order(100, seed=1, epoch=3)).all())
    True
    """
    # Neighbouring seeds would give related numbers; SeedSequence mixes both into one seed.
    mixed = int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0])
    return torch.randperm(samples, generator=torch.Generator().manual_seed(mixed))


class Batches:
    """The samples of a split on one device, handed out by index.

    >>> split = Split(torch.full((10, 2), 255, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64))
    >>> batches = Batches(split, scale=1 / 255)
    >>> x, y = batches.take(torch.tensor([3, 5]))
    >>> x.dtype, x.shape, float(x[0, 0])
    (torch.float32, torch.Size([2, 2]), 1.0)
    """

    def __init__(self, split: Split, scale: float | None, device: str | torch.device = "cpu") -> None:
        self._x = split.x.to(device)  # on a GPU the whole split moves once; uint8 is a quarter of float32
        self._y = split.y.to(device)
        self._scale = scale if split.x.dtype == torch.uint8 else None

    @classmethod
    def of(cls, data: Data, part: str, device: str | torch.device = "cpu") -> Batches:
        """The batches of a part of the data, as its task has them.

        Args:
            data: Any data.
            part: ``"train"``, ``"validation"`` or ``"test"``.
            device: Where the samples lie from now on.
        """
        kind = SelfBatches if data.task == "reconstruction" else cls
        return kind(data.splits[part], data.scale, device)

    def __len__(self) -> int:
        return len(self._y)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Samples and labels with these indices, ready for the model.

        Args:
            index: int64, on the device of the samples.
        """
        x = self._x.index_select(0, index)
        if self._scale is not None:
            x = x.to(torch.float32).mul_(self._scale)
        return x, self._y.index_select(0, index)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All samples as they lie, in batches of this size; the last may be smaller."""
        for x, y in zip(torch.split(self._x, size), torch.split(self._y, size), strict=True):
            yield (x if self._scale is None else x.to(torch.float32).mul_(self._scale)), y


class SelfBatches(Batches):
    """For reconstruction: what is to be learned from a sample is the sample.

    >>> split = Split(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64))
    >>> x, y = SelfBatches(split, scale=None).take(torch.tensor([1]))
    >>> bool((x == y).all())
    True
    """

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Samples with these indices, and the same as what is to be learned."""
        x, _ = super().take(index)
        return x, x

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All samples as they lie, in batches of this size; the last may be smaller."""
        for x, _ in super().in_order(size):
            yield x, x
