"""Which batches can be made larger or smaller, and how many samples they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from bigmodel_lab.trace._trees import mapped, tensors_of


def length_of(batch: Any) -> int | None:
    """Dimension 0, where every tensor that has a dimension shares it; None where they differ or there is none."""
    lengths = {t.shape[0] for t in tensors_of(batch) if t.dim()}
    return lengths.pop() if len(lengths) == 1 else None


def columns_of(batch: Any) -> int | None:
    """Samples of a batch that keeps them in lists, one item a sample, as of images of different sizes; None where it does not.

    Args:
        batch: A dict, list or tuple of columns: lists and tuples with tensors in each item, or tensors.
    """
    columns = _columns(batch)
    lists = [column for column in columns if isinstance(column, list | tuple)]
    lengths = {len(column) for column in columns if not isinstance(column, Tensor) or column.dim()}
    if not lists or len(lengths) != 1 or not all(tensors_of(item) for column in lists for item in column):
        return None
    return lengths.pop()


def repeated(batch: Any, present: int, samples: int, of_length: Callable[[Tensor, int], Tensor]) -> Any:
    """A batch of columns with another number of samples: the items in turn.

    Args:
        batch: As :func:`columns_of` takes it.
        present: Its samples.
        samples: The new number.
        of_length: Gives a tensor with another dimension 0.
    """

    def one(column: Any) -> Any:
        if isinstance(column, Tensor):
            return of_length(column, samples)
        if isinstance(column, list | tuple) and len(column) == present:
            items = [mapped(column[number % present], lambda t: t.detach()) for number in range(samples)]
            return type(column)(items)
        return column

    if isinstance(batch, Mapping):
        return type(batch)({name: one(column) for name, column in batch.items()})  # type: ignore[call-arg]
    parts = [one(column) for column in batch]
    return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


def _columns(batch: Any) -> list[Any]:
    """The parts of a batch that hold tensors; none of what is no container of columns."""
    if isinstance(batch, Mapping):
        parts = list(batch.values())
    elif isinstance(batch, list | tuple):
        parts = list(batch)
    else:
        return []
    found = [part for part in parts if tensors_of(part)]
    return found if all(isinstance(part, Tensor | list | tuple) for part in found) else []
