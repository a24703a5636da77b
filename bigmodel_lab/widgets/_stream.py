"""One stream of a run as a view follows it: what is new, the history so far, any stretch again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.runlog.base import Block, Reduced, Source, StreamHeader
from bigmodel_lab.widgets._history import Floats, History, Rows, ascending, join_rows

_BEHIND_ROWS = 8192  # further behind than this, rows are taken reduced
_CATCH_UP_BUCKETS = 512
_RANGE_BUCKETS = 4000


@dataclass(frozen=True)
class RangeRequest:
    """A view wants a stretch of a stream in finer buckets."""

    request: object
    """The browser's own name of the request; comes back with the answer."""
    stream: int
    """Index of the stream in the spec."""
    start: float
    """First step number or second."""
    stop: float
    """Last step number or second."""
    buckets: int
    """Most buckets that the view can use."""

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> RangeRequest | None:
        """The request in a message of the browser; None where it is not one."""
        try:
            return cls(
                content["request"],
                int(content["stream"]),
                float(content["from"]),
                float(content["to"]),
                min(max(1, int(content["buckets"])), _RANGE_BUCKETS),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


class FollowedStream:
    """A cursor into one stream, and the reduced history of everything before it."""

    def __init__(self, source: Source, header: StreamHeader) -> None:
        self.header = header
        """Name and columns as far as the view knows them."""
        self.history = History(len(header.keys))
        """Everything before the cursor."""
        self._source = source
        self._started_ns = int(source.header()["started_monotonic_ns"])
        self._cursor = 0
        self._furthest = -np.inf

    def grow(self, header: StreamHeader) -> None:
        """Take over keys that were added to the stream."""
        self.header = header
        self.history.add_keys(len(header.keys))

    def catch_up(self) -> bool:
        """If the cursor is far behind, take the missed rows reduced into the history; True if it did."""
        count = self._source.count(self.header.name)
        if count - self._cursor <= _BEHIND_ROWS:
            return False
        self._remember(self._stretch(self._cursor, count, _CATCH_UP_BUCKETS))
        self._cursor = count
        return True

    def new_rows(self) -> Rows | None:
        """Rows since the last call, now part of the history; None when there are none."""
        if self._source.count(self.header.name) <= self._cursor:
            return None
        block = self._source.read(self.header.name, self._cursor, _BEHIND_ROWS)
        rows = self._rows(block)
        if block.first > self._cursor:  # a gap: the rows between left the ring before they were read
            rows = join_rows([self._stretch(self._cursor, block.first, _CATCH_UP_BUCKETS), rows])
        self._cursor = block.next
        rows = self._remember(rows)
        return rows if len(rows.x) else None

    def last(self, unknown: Mapping[str, str]) -> Floats:
        """Latest known value of each key; NaN where it is unknown now, or was never known."""
        if unknown.keys().isdisjoint(self.header.keys):
            return self.history.last
        gone = np.array([key in unknown for key in self.header.keys], dtype=bool)
        return np.where(gone, np.nan, self.history.last)

    def between(self, start: float, stop: float, buckets: int) -> Rows:
        """The rows with ``start <= x <= stop``, as at most ``buckets`` buckets; of steps made again, the later ones."""
        first, last = self._find(start), self._find(np.nextafter(stop, np.inf))
        return ascending(self._stretch(first, last, buckets))

    def _remember(self, rows: Rows) -> Rows:
        """The next rows of the history, on an axis that never goes back."""
        rows = ascending(rows, self._furthest)
        if len(rows.x):
            self._furthest = rows.x[-1]
        self.history.add(rows)
        return rows

    def _stretch(self, first: int, stop: int, buckets: int) -> Rows:
        if stop <= first:
            return self._rows(self._source.read(self.header.name, first, 0))
        reduced = self._source.reduced(self.header.name, buckets, first, stop)
        return rows_of(reduced, self.header, self._started_ns)

    def _rows(self, block: Block) -> Rows:
        x = _axis(self.header, block.step, block.monotonic_ns, self._started_ns)
        values = np.asfortranarray(_columns(block.values, len(self.header.keys)))  # reduced and sent key by key
        return Rows(x, values, values, exact=True)

    def _find(self, x: float) -> int:
        """Index of the first row that is not before ``x``: about 20 reads of one row in a million."""
        low, high = 0, self._source.count(self.header.name)
        while low < high:
            middle = (low + high) // 2
            row = self._rows(self._source.read(self.header.name, middle, 1))
            low, high = (middle + 1, high) if len(row) and row.x[0] < x else (low, middle)
        return low


def rows_of(reduced: Reduced, header: StreamHeader, started_ns: int) -> Rows:
    """A stretch that the run log has reduced, against the axis of its stream.

    Args:
        reduced: The buckets.
        header: Name, axis and keys of the stream.
        started_ns: ``time.monotonic_ns()`` when the run began.
    """
    x = _axis(header, reduced.step, reduced.monotonic_ns, started_ns)
    keys = len(header.keys)
    return Rows(x, _columns(reduced.low, keys), _columns(reduced.high, keys), exact=reduced.rows_per_bucket == 1)


def _axis(header: StreamHeader, step: NDArray[np.int64], ns: NDArray[np.int64], started_ns: int) -> Floats:
    return step.astype(np.float64) if header.axis == "step" else (ns - started_ns) / 1e9


def _columns(values: Floats, keys: int) -> Floats:
    """Exactly ``keys`` columns: a key that appeared between two reads waits for the next structure."""
    missing = keys - values.shape[1]
    if missing <= 0:
        return values[:, :keys] if missing else values
    return np.hstack([values, np.full((len(values), missing), np.nan)])
