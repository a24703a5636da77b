"""Rows and stretches of rows as arrays, and how they are reduced: by minimum and maximum.

A cell is a stretch of rows: where and when it begins, and its smallest and largest
values. A single row is the smallest cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Block, Reduced


@dataclass(frozen=True)
class Cells:
    """Stretches of one stream, in order; stretches without any row are absent."""

    index: NDArray[np.int64]
    """Index of the first row of each, shape (cells,)."""
    step: NDArray[np.int64]
    """Step of that row, shape (cells,)."""
    monotonic_ns: NDArray[np.int64]
    """Time of that row, shape (cells,)."""
    low: NDArray[np.float64]
    """Smallest values, shape (cells, keys); NaN where nothing is known."""
    high: NDArray[np.float64]
    """Largest values, shape (cells, keys)."""

    def __len__(self) -> int:
        return len(self.index)

    def between(self, start: int, stop: int) -> Cells:
        """Those that begin at a row from ``start`` to before ``stop``."""
        a, b = np.searchsorted(self.index, (start, stop))
        return Cells(self.index[a:b], self.step[a:b], self.monotonic_ns[a:b], self.low[a:b], self.high[a:b])


def of_rows(block: Block) -> Cells:
    """Each row as a cell."""
    index = np.arange(block.first, block.next, dtype=np.int64)
    return Cells(index, block.step, block.monotonic_ns, block.values, block.values)


def join(parts: list[Cells], width: int) -> Cells:
    """One after the other; columns that an early part lacks are unknown there."""
    none = np.empty(0, np.int64)
    empty = Cells(none, none, none, np.empty((0, width)), np.empty((0, width)))
    parts = [empty, *parts]
    return Cells(
        np.concatenate([p.index for p in parts]),
        np.concatenate([p.step for p in parts]),
        np.concatenate([p.monotonic_ns for p in parts]),
        np.concatenate([widen(p.low, width) for p in parts]),
        np.concatenate([widen(p.high, width) for p in parts]),
    )


def widen(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """``values`` with ``width`` columns: NaN is added, or what came later is left out."""
    missing = width - values.shape[1]
    if missing <= 0:
        return values[:, :width]
    return np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)


def fold(cells: Cells, rows_per_cell: int) -> Cells:
    """The same stretch in cells of ``rows_per_cell`` rows, counted from row 0 of the stream."""
    if not len(cells) or rows_per_cell == 1:
        return cells
    group = cells.index // rows_per_cell
    begin = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    with np.errstate(invalid="ignore"):  # fmin and fmax pass over NaN, which is the point
        low = np.fmin.reduceat(cells.low, begin, axis=0)
        high = np.fmax.reduceat(cells.high, begin, axis=0)
    return Cells(cells.index[begin], cells.step[begin], cells.monotonic_ns[begin], low, high)


def rows_per_bucket(start: int, stop: int, buckets: int) -> int:
    """The smallest power of two that needs at most ``buckets`` buckets, which begin at its multiples.

    Raises:
        ConfigError: ``buckets`` is less than 1.

    >>> rows_per_bucket(0, 1000, 300)
    4
    """
    if buckets < 1:
        raise ConfigError(text("runlog.buckets", "buckets must be at least 1; it is {buckets}.", buckets=buckets))
    rows = 1
    while stop > start and (stop - 1) // rows - start // rows + 1 > buckets:
        rows *= 2
    return rows


def as_reduced(cells: Cells, rows: int) -> Reduced:
    """What :meth:`Source.reduced` gives."""
    folded = fold(cells, rows)
    return Reduced(folded.step, folded.monotonic_ns, folded.low, folded.high, rows)
