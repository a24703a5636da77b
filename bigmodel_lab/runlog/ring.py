"""The newest rows of a stream, in memory: what the training loop writes and views read.

One thread appends to a stream; any number of threads read it. A row is written whole
before the count is raised, and a reader looks at the count again after it has copied, so
neither ever waits for the other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Axis, Block, StreamHeader

ROWS = 32_768
"""Rows that a ring holds; a power of two."""
MAX_KEYS = 32
"""Columns that a stream can have."""
_MASK = ROWS - 1


class _Ring:
    """Fixed memory for ``ROWS`` rows: step, monotonic_ns, then one float64 a key."""

    __slots__ = ("buffer", "integers", "keys", "numbers", "pack_into", "row_bytes")

    def __init__(self, keys: tuple[str, ...]) -> None:
        row = struct.Struct(f"=qq{len(keys)}d")
        self.keys = keys
        self.row_bytes = row.size
        self.pack_into = row.pack_into
        self.buffer = bytearray(ROWS * row.size)
        # two views of the same memory, shape (ROWS, 2 + keys)
        self.integers = np.frombuffer(self.buffer, np.int64).reshape(ROWS, -1)
        self.numbers = np.frombuffer(self.buffer, np.float64).reshape(ROWS, -1)

    def copied(self, first: int, rows: int) -> NDArray[np.int64]:
        """These rows, as at most two pieces of the memory, in memory of their own; shape (rows, 2 + keys)."""
        at = first & _MASK
        if at + rows <= ROWS:
            return self.integers[at : at + rows].copy()
        return np.concatenate([self.integers[at:], self.integers[: at + rows - ROWS]])

    def widened(self, key: str) -> _Ring:
        """The same rows with one more column, unknown so far."""
        wide = _Ring((*self.keys, key))
        wide.integers[:, :2] = self.integers[:, :2]
        wide.numbers[:, 2:-1] = self.numbers[:, 2:]
        wide.numbers[:, -1] = np.nan
        return wide


@dataclass(frozen=True)
class Start:
    """Where a stream goes on that already has rows in the file."""

    count: int = 0
    """Rows in the file."""
    last_step: int = -1
    """Step of the last of them."""
    shift_ns: int = 0
    """Added to each time, so that the clock of a later boot goes on from the earlier one."""


class Stream:
    """A table of numbers that grows at the end; made by :meth:`RunLog.stream`.

    >>> stream = Stream("step", "step", ("loss", "accuracy"))
    >>> stream.append(1, 1_000, (0.5, 0.25))
    >>> stream.append(2, 2_000, (0.4,))  # shorter: the rest is unknown
    >>> stream.read(1).values
    array([[0.4, nan]])
    """

    __slots__ = ("_header", "_ring", "_start", "axis", "count", "name")

    def __init__(self, name: str, axis: Axis, keys: Sequence[str], start: Start | None = None) -> None:
        self.name = name
        """Name of the stream."""
        self.axis: Axis = axis
        """What views draw it against by default."""
        self._start = start or Start()
        self.count = self._start.count
        """Rows so far, those that left the ring and those of earlier sessions included."""
        _check_keys(name, keys)
        self._ring = _Ring(tuple(keys))
        self._header = StreamHeader(name, axis, self._ring.keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """Metric keys of the columns."""
        return self._ring.keys

    @property
    def last_step(self) -> int:
        """Step of the newest row; -1 when there is none."""
        count = self.count
        if count == self._start.count:
            return self._start.last_step
        return int(self._ring.integers[(count - 1) & _MASK, 0])

    @property
    def first(self) -> int:
        """Index of the oldest row that the ring can still give."""
        # the slot after the newest row may be half written, hence the 1
        return max(self._start.count, self.count - ROWS + 1)

    def header(self) -> StreamHeader:
        """Name and columns."""
        return self._header

    def append(self, step: int, monotonic_ns: int, values: Sequence[float | None]) -> None:
        """Add one row. Costs less than a microsecond, never waits, never touches the disk.

        Only one thread may append to a stream.

        Args:
            step: Optimizer step of the row.
            monotonic_ns: ``time.monotonic_ns()`` of the row.
            values: Aligned with :attr:`keys`; a shorter sequence leaves the rest unknown (NaN).
                None is unknown too.

        Raises:
            ConfigError: There are more values than keys.
        """
        row = self.count
        ring = self._ring
        try:
            ring.pack_into(ring.buffer, (row & _MASK) * ring.row_bytes, step, monotonic_ns, *values)
        except struct.error:  # not one float for each key: the slow way
            padded = self._padded(values)
            ring.pack_into(ring.buffer, (row & _MASK) * ring.row_bytes, int(step), int(monotonic_ns), *padded)
        self.count = row + 1

    def add_key(self, key: str) -> int:
        """Add a column and return its position; an existing key keeps its own.

        Call it from the thread that appends.

        Raises:
            ConfigError: The stream already has 32 columns.
        """
        if key not in self.keys:
            _check_keys(self.name, (*self.keys, key))
            self._ring = self._ring.widened(key)
            self._header = StreamHeader(self.name, self.axis, self._ring.keys)
        return self.keys.index(key)

    def read(self, start: int = 0, limit: int | None = None) -> Block:
        """Rows from index ``start`` on that are still in the ring, at most ``limit``."""
        stop = self.count  # before the ring: a ring that is put in its place later has these rows too
        ring = self._ring
        first = max(start, self.first)
        rows = max(0, stop - first)
        integers = ring.copied(first, rows if limit is None else min(rows, max(0, limit)))
        late = self.first - first
        if late > 0:  # overwritten while they were copied
            integers, first = integers[late:], first + min(late, len(integers))
        step, monotonic_ns, values = integers[:, 0], integers[:, 1], integers.view(np.float64)[:, 2:]
        if self._start.shift_ns:
            monotonic_ns = monotonic_ns + self._start.shift_ns
        return Block(self.name, first, step, monotonic_ns, values)

    def _padded(self, values: Sequence[float | None]) -> list[float]:
        missing = len(self.keys) - len(values)
        if missing < 0:
            raise ConfigError(
                text(
                    "runlog.too_many_values",
                    "Stream {name!r} has {keys} keys and got {values} values. Call add_key() for a new column first.",
                    name=self.name,
                    keys=len(self.keys),
                    values=len(values),
                )
            )
        return [float("nan") if v is None else float(v) for v in values] + [float("nan")] * missing


def _check_keys(stream: str, keys: Sequence[str]) -> None:
    if len(keys) > MAX_KEYS or len(set(keys)) != len(keys):
        raise ConfigError(
            text(
                "runlog.keys",
                "Stream {stream!r} got {count} keys: {keys}. At most {limit} different ones fit; "
                "put the others into a stream of their own.",
                stream=stream,
                count=len(keys),
                keys=", ".join(keys),
                limit=MAX_KEYS,
            )
        )
