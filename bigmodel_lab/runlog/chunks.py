"""The rows of a stream in the file: chunks, and the pyramid above them.

Rows arrive in small chunks. When ``BLOCK`` rows are complete they are sealed: merged
into one chunk, and reduced to the cells of the pyramid's level 0. Eight blobs of one
level make one of the next. Cursors are row indexes, so a reader never sees the merging.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.runlog import cells as c
from bigmodel_lab.runlog.base import Block
from bigmodel_lab.runlog.cells import Cells

if TYPE_CHECKING:
    import sqlite3

_CELL = 64  # rows in a cell of level 0
_FACTOR = 8  # cells that make one of the next level
_BLOB = 64  # cells whose numbers lie in one BLOB
BLOCK = _CELL * _BLOB
"""Rows of a sealed chunk. A chunk never reaches over a multiple of it."""


@dataclass(frozen=True)
class Chunks:
    """The rows of one stream, within one transaction."""

    db: sqlite3.Connection
    """Connection with an open transaction."""
    stream: int
    """Id of the stream in the file."""
    width: int
    """Number of its keys."""

    def count(self) -> int:
        """Index after the last row."""
        query = "SELECT first + rows FROM ticks WHERE stream=? ORDER BY first DESC LIMIT 1"
        found = self.db.execute(query, (self.stream,)).fetchone()
        return int(found[0]) if found else 0

    def first_from(self, start: int) -> int:
        """Index of the first row from ``start`` on that exists; ``start`` when there is none."""
        query = "SELECT max(first, ?) FROM ticks WHERE stream=? AND first>? AND first+rows>? ORDER BY first LIMIT 1"
        # the chunk with row start begins at most a block before it
        found = self.db.execute(query, (start, self.stream, start - BLOCK, start)).fetchone()
        return int(found[0]) if found else start

    def insert(self, block: Block, wall_offset_ns: int) -> None:
        """Write rows as chunks, cut at multiples of ``BLOCK``.

        Args:
            block: The rows.
            wall_offset_ns: Wall clock minus the run's monotonic clock.
        """
        rows = c.of_rows(block)
        for start in range(block.first // BLOCK * BLOCK, block.next, BLOCK):
            self._insert_chunk(rows.between(start, start + BLOCK), wall_offset_ns)

    def read(self, start: int, stop: int) -> Cells:
        """The rows from ``start`` to before ``stop`` that exist, each as a cell."""
        bounds = (self.stream, start // BLOCK * BLOCK, stop)
        query = (
            "SELECT first, rows, step, monotonic_ns FROM ticks WHERE stream=? AND first>=? AND first<? ORDER BY first"
        )
        ticks = self.db.execute(query, bounds).fetchall()
        index = _one([np.arange(first, first + rows) for first, rows, _, _ in ticks])
        step = _one([_integers(blob) for _, _, blob, _ in ticks])
        monotonic_ns = _one([_integers(blob) for _, _, _, blob in ticks])
        values = self._values(bounds, index)
        return Cells(index, step, monotonic_ns, values, values).between(start, stop)

    def seal(self) -> None:
        """Seal every block that is complete, and let the pyramid grow on it."""
        for first in range(self._sealed(0), self.count() // BLOCK * BLOCK, BLOCK):
            self._seal_block(first)
        level = 1
        while self._grow(level):
            level += 1

    def reduce(self, start: int, stop: int, rows: int) -> Cells:
        """Cells of at most ``rows`` rows for the stretch: as coarse as possible, exact at both ends."""
        level = -1
        while _rows_per_cell(level + 1) <= rows:
            level += 1
        return c.join(self._pieces(level, start, stop), self.width)

    def _values(self, bounds: tuple[int, int, int], index: NDArray[np.int64]) -> NDArray[np.float64]:
        values = np.full((len(index), self.width), np.nan)
        query = "SELECT first, position, data FROM samples WHERE stream=? AND first>=? AND first<? AND position<?"
        for first, position, data in self.db.execute(query, (*bounds, self.width)):
            column, at = _floats(data), int(np.searchsorted(index, first))
            values[at : at + len(column), position] = column
        return values

    def _pieces(self, level: int, start: int, stop: int) -> list[Cells]:
        if start >= stop:
            return []
        if level < 0:
            return [self.read(start, stop)]
        size = _rows_per_cell(level)
        inner_start = -(-start // size) * size
        inner_stop = min(stop // size * size, self._sealed(level))
        if inner_start >= inner_stop:
            return self._pieces(level - 1, start, stop)
        return [
            *self._pieces(level - 1, start, inner_start),
            self._read_level(level, inner_start, inner_stop),
            *self._pieces(level - 1, inner_stop, stop),
        ]

    def _sealed(self, level: int) -> int:
        """Row up to which this level of the pyramid is complete."""
        query = "SELECT max(first) FROM pyramid WHERE stream=? AND level=?"
        (last,) = self.db.execute(query, (self.stream, level)).fetchone()
        return 0 if last is None else int(last) + _rows_per_blob(level)

    def _seal_block(self, first: int) -> None:
        bounds = (self.stream, first, first + BLOCK)
        rows = self.read(first, first + BLOCK)
        query = "SELECT wall_ns - ? FROM ticks WHERE stream=? AND first>=? AND first<? ORDER BY first LIMIT 1"
        if len(rows):
            (offset,) = self.db.execute(query, (int(rows.monotonic_ns[0]), *bounds)).fetchone()
            self.db.execute("DELETE FROM ticks WHERE stream=? AND first>=? AND first<?", bounds)
            self.db.execute("DELETE FROM samples WHERE stream=? AND first>=? AND first<?", bounds)
            for piece in _consecutive(rows):
                self._insert_chunk(piece, offset)
        self._insert_blob(0, first, c.fold(rows, _CELL))

    def _grow(self, level: int) -> bool:
        """Add what is complete to this level; False when nothing was, so that no higher one can be."""
        size = _rows_per_blob(level)
        begin, end = self._sealed(level), self._sealed(level - 1) // size * size
        for first in range(begin, end, size):
            below = self._read_level(level - 1, first, first + size)
            self._insert_blob(level, first, c.fold(below, _rows_per_cell(level)))
        return begin < end

    def _read_level(self, level: int, start: int, stop: int) -> Cells:
        found = self.db.execute(
            "SELECT width, row_index, step, monotonic_ns, low, high FROM pyramid "
            "WHERE stream=? AND level=? AND first>=? AND first<? ORDER BY first",
            (self.stream, level, start // _rows_per_blob(level) * _rows_per_blob(level), stop),
        )
        blobs = [
            Cells(_integers(index), _integers(step), _integers(ns), _table(low, width), _table(high, width))
            for width, index, step, ns, low, high in found
        ]
        return c.join(blobs, self.width).between(start, stop)

    def _insert_chunk(self, rows: Cells, wall_offset_ns: int) -> None:
        first, values = int(rows.index[0]), rows.low
        wall_ns = int(rows.monotonic_ns[0]) + wall_offset_ns
        tick = (self.stream, first, len(rows), wall_ns, _blob(rows.step), _blob(rows.monotonic_ns))
        self.db.execute("INSERT INTO ticks VALUES (?, ?, ?, ?, ?, ?)", tick)
        known = np.flatnonzero(~np.isnan(values).all(axis=0)).tolist()
        columns = ((self.stream, first, position, _blob(values[:, position])) for position in known)
        self.db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?)", columns)

    def _insert_blob(self, level: int, first: int, cells: Cells) -> None:
        arrays = (cells.index, cells.step, cells.monotonic_ns, cells.low, cells.high)
        row = (self.stream, level, first, self.width, *(_blob(array) for array in arrays))
        self.db.execute("INSERT INTO pyramid VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _rows_per_cell(level: int) -> int:
    return int(_CELL * _FACTOR**level)


def _rows_per_blob(level: int) -> int:
    return _rows_per_cell(level) * _BLOB


def _consecutive(rows: Cells) -> list[Cells]:
    """Cut where rows are missing."""
    cuts = np.flatnonzero(np.diff(rows.index) != 1) + 1
    return [rows.between(int(part[0]), int(part[-1]) + 1) for part in np.split(rows.index, cuts)]


def _one(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _blob(array: NDArray[np.generic]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _integers(blob: bytes) -> NDArray[np.int64]:
    return np.frombuffer(blob, "<i8").astype(np.int64, copy=False)


def _floats(blob: bytes) -> NDArray[np.float64]:
    return np.frombuffer(blob, "<f8").astype(np.float64, copy=False)


def _table(blob: bytes, columns: int) -> NDArray[np.float64]:
    return _floats(blob).reshape(-1, columns)
