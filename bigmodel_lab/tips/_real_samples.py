"""Batches of any size from real samples: the longest of a loader's first batches, repeated or cut."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from bigmodel_lab.errors import ConfigError, EmptyDataError
from bigmodel_lab.estimate._batch import as_tree, bytes_of, is_loader, samples_of
from bigmodel_lab.i18n import text

_LOOKED_AT = 16
"""Batches of a loader that are read to find its longest samples."""


class RealSamples:
    """Gives batches of any number of samples, each as large as the largest that was seen.

    >>> samples = RealSamples([{"x": torch.ones(4, 3)}, {"x": torch.ones(4, 7)}])
    >>> samples.batch(6)["x"].shape, samples.of_batch
    (torch.Size([6, 7]), 4)
    """

    def __init__(self, data: Any) -> None:
        """Read a loader's first batches, or take a batch as it is.

        Args:
            data: A tree (dict, list, tuple) of tensors whose dimension 0 counts the samples; or anything that gives
                such trees again and again, as a ``DataLoader`` does.

        Raises:
            ConfigError: It gives its batches only once, or holds no tensor, or dimension 0 does not count samples.
            EmptyDataError: It gives none.
        """
        batch = _longest(data) if is_loader(data) else data
        self._batch = as_tree(batch)
        self._dressed: Callable[[Any], Any] = type(batch) if isinstance(batch, UserDict) else lambda tree: tree
        self.of_batch = samples_of(self._batch)
        """Samples of the batch that all are made of."""
        self.in_all = _samples_in(data)
        """Samples of the whole data set; None is unknown."""

    def batch(self, samples: int) -> Any:
        """A batch of this many samples, in main memory or wherever the data lies.

        Args:
            samples: From 1.
        """
        index = torch.arange(samples) % self.of_batch
        return self._dressed(tree_map_only(Tensor, lambda tensor: _taken(tensor, index), self._batch))

    def moved(self, batch: Any, device: torch.device) -> Any:
        """A batch with its tensors on a device.

        Args:
            batch: As :meth:`batch` gave it.
            device: Where to.
        """
        return self._dressed(tree_map_only(Tensor, lambda tensor: tensor.to(device), as_tree(batch)))

    @property
    def example(self) -> Any:
        """The batch that all are made of."""
        return self._batch


def generators_of(data: Any) -> tuple[torch.Generator, ...]:
    """Random numbers that a loader draws from besides the global ones."""
    holders = (data, getattr(data, "sampler", None), getattr(getattr(data, "batch_sampler", None), "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return tuple({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def _longest(loader: Iterable[Any]) -> Any:
    """Of the first batches that with the most bytes a sample; a loader pads to the longest of a batch."""
    best, most = None, -1.0
    for batch in _first(loader):
        size = bytes_of(batch) / samples_of(batch)
        if size > most:
            best, most = batch, size
    if best is None:
        raise EmptyDataError(text("error.no_batches", "The loader gives 0 batches. Give one with at least one sample."))
    return best


def _first(loader: Iterable[Any]) -> Iterator[Any]:
    batches = iter(loader)
    if batches is loader:
        raise ConfigError(
            text(
                "error.one_shot_loader",
                "{kind} gives its batches only once, and trying would use them up. Give the DataLoader, a list of "
                "batches, or one batch.",
                kind=type(loader).__name__,
            )
        )
    for _, batch in zip(range(_LOOKED_AT), batches, strict=False):
        yield batch


def _samples_in(data: Any) -> int | None:
    dataset = getattr(data, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else None


def _taken(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows by number, in the layout of the tensor; one number alone belongs to no sample."""
    if not tensor.dim():
        return tensor
    rows = tensor.detach().index_select(0, index.to(tensor.device))
    by_channel = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    if by_channel and not tensor.is_contiguous():
        rows = rows.contiguous(memory_format=torch.channels_last)
    return rows.requires_grad_(tensor.requires_grad)
