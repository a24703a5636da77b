"""The whole history of one stream in a fixed number of buckets of minimum and maximum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_WAITING_ROWS, _WAITING_STRETCHES = 4096, 64


@dataclass(slots=True, eq=False)  # not frozen: that would take four times as long to make
class Rows:
    """A stretch of a stream, ready to draw: buckets, or the rows themselves where low is high. Never changed."""

    x: Floats
    """Step number, or seconds since the run began, of the first row of each bucket, shape (n,)."""
    low: Floats
    """Smallest value of each bucket, shape (n, keys); NaN where nothing is known."""
    high: Floats
    """Largest value of each bucket, shape (n, keys)."""
    exact: bool
    """Every bucket is one row, so low equals high."""

    def __len__(self) -> int:
        return len(self.x)


def reduce_rows(rows: Rows, buckets: int) -> Rows:
    """The rows as at most ``buckets`` buckets of equal length, by minimum and maximum.

    >>> import numpy as np
    >>> values = np.array([[1.0], [9.0], [2.0], [3.0]])
    >>> short = reduce_rows(Rows(np.arange(4.0), values, values, exact=True), 2)
    >>> short.low.ravel().tolist(), short.high.ravel().tolist()
    ([1.0, 2.0], [9.0, 3.0])
    """
    if len(rows) <= buckets:
        return rows
    starts = np.arange(0, len(rows), -(-len(rows) // buckets))
    return Rows(
        rows.x[starts],
        np.fmin.reduceat(rows.low, starts, axis=0),  # fmin, fmax: a known value beats an unknown one
        np.fmax.reduceat(rows.high, starts, axis=0),
        exact=False,
    )


def join_rows(stretches: Sequence[Rows]) -> Rows:
    """Consecutive stretches, at least one, as one."""
    if len(stretches) == 1:
        return stretches[0]
    x = np.concatenate([rows.x for rows in stretches])
    low = np.concatenate([rows.low for rows in stretches])
    if all(rows.low is rows.high for rows in stretches):
        return Rows(x, low, low, exact=all(rows.exact for rows in stretches))
    high = np.concatenate([rows.high for rows in stretches])
    return Rows(x, low, high, exact=all(rows.exact for rows in stretches))


def ascending(rows: Rows, furthest: float = -np.inf) -> Rows:
    """The rows on an axis that never goes back; nothing is copied where it does not.

    A run that went on from an earlier checkpoint makes steps again. What they measured counts where the run had
    already been: a chart that joins rows of one x keeps its smallest and largest value.

    Args:
        rows: A stretch of a stream, in the order in which it was recorded.
        furthest: Where the stretches before it ended.

    >>> import numpy as np
    >>> values = np.array([[1.0], [2.0], [9.0], [3.0]])
    >>> ascending(Rows(np.array([0.0, 1.0, 0.0, 2.0]), values, values, exact=True)).x.tolist()
    [0.0, 1.0, 1.0, 2.0]
    """
    x = rows.x
    if not len(x) or (x[0] >= furthest and not (x[1:] < x[:-1]).any()):
        return rows
    return Rows(np.maximum.accumulate(np.maximum(x, furthest)), rows.low, rows.high, rows.exact)


class History:
    """Online reduction: when the buckets are used up, neighbours merge and all become twice as wide.

    Adding a row costs the same however long the run is, and a view of the whole run costs
    at most ``capacity`` buckets. Rows wait until there are many or someone looks: reducing
    a thousand at once costs hardly more than reducing one.
    """

    def __init__(self, keys: int, capacity: int = 512) -> None:
        self._x = np.empty(capacity)
        self._low = np.full((capacity, keys), np.nan)
        self._high = np.full((capacity, keys), np.nan)
        self._width = 1  # rows per bucket
        self._count = 0  # rows so far
        self._exact = True  # every bucket holds one true row, none a reduced stretch
        self._waiting: list[Rows] = []
        self._waiting_rows = 0
        self.last = np.full(keys, np.nan)
        """Latest known value of each key; NaN before the first."""

    @property
    def rows_per_bucket(self) -> int:
        """Rows that one bucket covers now."""
        self._take_waiting()
        return self._width

    def add_keys(self, keys: int) -> None:
        """Columns for keys that came later, unknown so far, up to ``keys`` columns."""
        self._take_waiting()
        more = keys - self._low.shape[1]
        if more > 0:
            self._low = _widen(self._low, more)
            self._high = _widen(self._high, more)
            self.last = np.concatenate([self.last, np.full(more, np.nan)])

    def add(self, rows: Rows) -> None:
        """Append a stretch of the stream; a bucket that is itself reduced counts as one row."""
        count = len(rows.x)
        if not count:
            return
        self._remember_last(rows.high)
        self._waiting.append(rows)
        self._waiting_rows += count
        if self._waiting_rows > _WAITING_ROWS or len(self._waiting) > _WAITING_STRETCHES:
            self._take_waiting()

    def rows(self, buckets: int) -> Rows:
        """The whole history as at most ``buckets`` buckets."""
        self._take_waiting()
        used = -(-self._count // self._width)
        exact = self._exact and self._width == 1
        return reduce_rows(Rows(self._x[:used], self._low[:used], self._high[:used], exact), buckets)

    def _take_waiting(self) -> None:
        if self._waiting:
            self._reduce(join_rows(self._waiting))
            self._waiting, self._waiting_rows = [], 0

    def _reduce(self, rows: Rows) -> None:
        while self._count + len(rows) > len(self._x) * self._width:
            self._merge_neighbours()
        self._exact = self._exact and rows.exact
        begun = self._count % self._width
        starts = np.arange(-begun, len(rows), self._width)
        starts[0] = 0  # the first bucket may have been begun by rows that came earlier
        self._write(self._count // self._width, rows, starts)
        self._count += len(rows)

    def _write(self, first: int, rows: Rows, starts: NDArray[np.int64]) -> None:
        low = np.fmin.reduceat(rows.low, starts, axis=0)
        high = np.fmax.reduceat(rows.high, starts, axis=0)
        x = rows.x[starts]
        if self._count % self._width:
            x[0] = self._x[first]
            low[0] = np.fmin(low[0], self._low[first])
            high[0] = np.fmax(high[0], self._high[first])
        into = slice(first, first + len(starts))
        self._x[into], self._low[into], self._high[into] = x, low, high

    def _merge_neighbours(self) -> None:
        half = len(self._x) // 2
        self._x[:half] = self._x[::2]
        self._low[:half] = np.fmin(self._low[::2], self._low[1::2])
        self._high[:half] = np.fmax(self._high[::2], self._high[1::2])
        # What follows the used buckets is old data of another bucket: unknown again.
        self._low[half:], self._high[half:] = np.nan, np.nan
        self._width *= 2

    def _remember_last(self, values: Floats) -> None:
        newest = values[-1]
        if all(map(isfinite, newest.tolist())):
            self.last = newest.copy()
            return
        known = np.isfinite(values)
        column = np.flatnonzero(known.any(axis=0))
        row = len(values) - 1 - known[::-1, column].argmax(axis=0)
        self.last = self.last.copy()  # the one before may be on its way to a view
        self.last[column] = values[row, column]


def _widen(values: Floats, more: int) -> Floats:
    return np.hstack([values, np.full((len(values), more), np.nan)])
