"""A batch of someone else's loop, cut into parts of fewer samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

_WHOLE = (bool, int, float, str, type(None))
"""Kinds of values that belong to a batch as a whole."""


def samples_in(batch: Any) -> int | None:
    """How many samples a batch has; None where it cannot be cut without a guess.

    Every tensor must have the samples in its first dimension, and the same number of them. Tensors without
    dimensions, single numbers and words belong to the whole.

    Args:
        batch: Tensors in lists, tuples and mappings, as a DataLoader gives them.

    >>> import torch
    >>> samples_in({"x": torch.zeros(6, 4), "names": list("abcdef"), "scale": 0.5})
    6
    >>> samples_in((torch.zeros(6, 4), torch.zeros(2, 4))) is None
    True
    """
    found = set(_lengths(batch))
    samples = found.pop() if len(found) == 1 else 0
    return samples or None


def part_of(batch: Any, places: slice) -> Any:
    """Some samples of a batch, as a batch of the same kind; its tensors are views.

    Args:
        batch: One of which :func:`samples_in` knows the number.
        places: Which samples.

    >>> import torch
    >>> part_of({"x": torch.arange(4), "names": ["a", "b", "c", "d"], "scale": 0.5}, slice(2, 4))
    {'x': tensor([2, 3]), 'names': ['c', 'd'], 'scale': 0.5}
    """
    if isinstance(batch, Tensor):
        return batch[places] if batch.ndim else batch
    if isinstance(batch, Mapping):
        return type(batch)({name: part_of(one, places) for name, one in batch.items()})  # type: ignore[call-arg]
    if isinstance(batch, (list, tuple)):
        if _is_column(batch):
            return batch[places]
        parts = [part_of(one, places) for one in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _lengths(batch: Any) -> Iterator[int]:
    """Samples of each thing inside; 0 of one that is of an unknown kind."""
    if isinstance(batch, Tensor):
        if batch.ndim:
            yield batch.shape[0]
    elif isinstance(batch, Mapping):
        for one in batch.values():
            yield from _lengths(one)
    elif isinstance(batch, (list, tuple)):
        if _is_column(batch):
            yield len(batch)
        else:
            for one in batch:
                yield from _lengths(one)
    elif not isinstance(batch, _WHOLE):
        yield 0


def _is_column(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list has one plain value a sample, as names of files."""
    return len(values) > 0 and all(isinstance(one, _WHOLE) for one in values)
