"""What a compared loop is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigmodel_lab.data import epoch_order
from bigmodel_lab.data.base import Data


@dataclass(frozen=True)
class Job:
    """One pass over data in memory."""

    model: nn.Module
    """A fresh model in training mode; maps (samples, …) to (samples, classes)."""
    data: Data
    """The samples, uint8; only ``data.train`` is used."""
    batch: int
    """Samples in a step."""
    steps: int
    """Steps to make; the data has enough samples for them."""
    learning_rate: float = 1e-3
    """Of Adam."""
    every: int = 100
    """Steps between two pictures of a loop that draws."""


class Batches:
    """Shuffled batches by index from the tensors in memory, in the order of ``fit``'s first epoch."""

    def __init__(self, job: Job) -> None:
        assert job.data.scale is not None
        self._x, self._y, self._scale = job.data.train.x, job.data.train.y, job.data.scale
        self._batch, self._steps = job.batch, job.steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.split(epoch_order(len(self._y), seed=0, epoch=0), self._batch)[: self._steps]:
            yield self._x.index_select(0, index).to(torch.float32).mul_(self._scale), self._y.index_select(0, index)
