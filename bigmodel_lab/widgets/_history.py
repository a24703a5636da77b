"""The whole history of one stream in a fixed number of buckets of minimum and maximum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """A stretch of a stream, ready to draw: buckets, or the rows themselves where low is high."""

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


class History:
    """Online reduction: when the buckets are used up, neighbours merge and all become twice as wide.

    Adding a row costs the same however long the run is, and a view of the whole run costs
    at most ``capacity`` buckets.
    """

    def __init__(self, keys: int, capacity: int = 512) -> None:
        self._x = np.empty(capacity)
        self._low = np.full((capacity, keys), np.nan)
        self._high = np.full((capacity, keys), np.nan)
        self._width = 1  # rows per bucket
        self._count = 0  # rows so far
        self._exact = True  # every bucket holds one true row, none a reduced stretch
        self.last = np.full(keys, np.nan)
        """Latest known value of each key; NaN before the first."""

    @property
    def rows_per_bucket(self) -> int:
        """Rows that one bucket covers now."""
        return self._width

    def add_keys(self, keys: int) -> None:
        """Columns for keys that came later, unknown so far, up to ``keys`` columns."""
        more = keys - self._low.shape[1]
        if more > 0:
            self._low = _widen(self._low, more)
            self._high = _widen(self._high, more)
            self.last = np.concatenate([self.last, np.full(more, np.nan)])

    def add(self, rows: Rows) -> None:
        """Append a stretch of the stream; a bucket that is itself reduced counts as one row."""
        if not len(rows):
            return
        while self._count + len(rows) > len(self._x) * self._width:
            self._merge_neighbours()
        self._exact = self._exact and rows.exact
        begun = self._count % self._width
        starts = np.arange(-begun, len(rows), self._width)
        starts[0] = 0  # the first bucket may have been begun by rows that came earlier
        self._write(self._count // self._width, rows, starts)
        self._count += len(rows)
        self._remember_last(rows.high)

    def rows(self, buckets: int) -> Rows:
        """The whole history as at most ``buckets`` buckets."""
        used = -(-self._count // self._width)
        exact = self._exact and self._width == 1
        return reduce_rows(Rows(self._x[:used], self._low[:used], self._high[:used], exact), buckets)

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
        if np.isfinite(values[-1]).all():
            self.last = values[-1].copy()
            return
        known = np.isfinite(values)
        column = np.flatnonzero(known.any(axis=0))
        row = len(values) - 1 - known[::-1, column].argmax(axis=0)
        self.last[column] = values[row, column]


def _widen(values: Floats, more: int) -> Floats:
    return np.hstack([values, np.full((len(values), more), np.nan)])
