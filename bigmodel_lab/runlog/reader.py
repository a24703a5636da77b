"""A run file as a source: of a finished run, or of one that another process is writing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.runlog import cells
from bigmodel_lab.runlog.base import Block, Event, ProposalRecord, Reduced, Status, StreamHeader
from bigmodel_lab.runlog.cells import Cells
from bigmodel_lab.runlog.chunks import Chunks
from bigmodel_lab.runlog.database import reading
from bigmodel_lab.runlog.folder import live_file
from bigmodel_lab.runlog.process import ProcessIdentity, lost
from bigmodel_lab.runlog.record import unknown_after

if TYPE_CHECKING:
    import sqlite3


class RunReader:
    """A run file, read-only. Each call is one short read transaction and sees what is there then.

    Safe to use from any thread and any process, also while the run is being written and
    after its process was killed.

    Args:
        path: The run file.

    Raises:
        RunFileError: There is no such file, or it is not a run file.
        NewerSchemaError: A newer version of the library wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        """The run file."""
        with self._open():
            pass  # tells at once when it cannot be read

    def header(self) -> Mapping[str, Any]:
        """Facts about the run, see :meth:`Source.header`."""
        with self._open() as db:
            return _facts(db, "header")

    def status(self) -> Status:
        """Where the run stands; LOST when it never ended and its process is gone."""
        return status_of(self.state())

    def state(self) -> Mapping[str, Any]:
        """Status, process and heartbeat as the writer left them."""
        with self._open() as db:
            return _facts(db, "state")

    def streams(self) -> tuple[StreamHeader, ...]:
        """Every stream so far."""
        with self._open() as db:
            return tuple(_stream_headers(db).values())

    def count(self, stream: str) -> int:
        """Rows that this stream has so far."""
        with self._open() as db:
            return _find(db, stream).count()

    def read(self, stream: str, start: int = 0, limit: int | None = None) -> Block:
        """Rows from index ``start`` on, at most ``limit``, up to the next gap."""
        with self._open() as db:
            chunks = _find(db, stream)
            first, rows = chunks.first_from(max(start, 0)), chunks.count()
            found = chunks.read(first, rows if limit is None else min(rows, first + limit))
        return _block(stream, first, found)

    def reduced(self, stream: str, buckets: int, start: int = 0, stop: int | None = None) -> Reduced:
        """Rows ``start`` … ``stop`` as at most ``buckets`` buckets of minimum and maximum.

        Buckets are powers of two of rows and begin at multiples of them, so that they stay
        the same while a view moves.
        """
        with self._open() as db:
            rows = _find(db, stream).count()
        stop = rows if stop is None else min(stop, rows)
        size = cells.rows_per_bucket(max(start, 0), stop, buckets)
        return cells.as_reduced(self.cells(stream, size, start, stop), size)

    def cells(self, stream: str, rows: int, start: int, stop: int) -> Cells:
        """Rows ``start`` … ``stop`` in cells of at most ``rows`` rows: what :meth:`reduced` is made of."""
        with self._open() as db:
            return _find(db, stream).reduce(max(start, 0), stop, rows)

    def events(self, start: int = 0) -> tuple[Event, ...]:
        """Events from index ``start`` on."""
        with self._open() as db:
            return _events(db, "id >= ?", start)

    def proposals(self) -> tuple[ProposalRecord, ...]:
        """Every proposal as it stands now."""
        with self._open() as db:
            rows = db.execute("SELECT id, tip, state, wall_ns, data FROM proposals ORDER BY id").fetchall()
        return tuple(ProposalRecord(i, tip, state, wall, json.loads(data)) for i, tip, state, wall, data in rows)

    def unknown(self) -> Mapping[str, str]:
        """Why a metric has no value at the end, by metric key."""
        with self._open() as db:
            return unknown_after(_events(db, "kind IN (?, ?)", "unknown", "known"))

    def last_step(self, stream: str) -> int:
        """Step of the last row; -1 when there is none."""
        rows = self.count(stream)
        block = self.read(stream, rows - 1) if rows else None
        return int(block.step[-1]) if block is not None and len(block) else -1

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with reading(live_file(self.path)) as db:
            yield db


def status_of(state: Mapping[str, Any]) -> Status:
    """The status that a writer left, or LOST when it ended without a word."""
    if "status" not in state:  # killed before its first commit
        return Status.LOST
    status = Status(state["status"])
    process = ProcessIdentity.from_json(state["process"])
    if not status.ended and lost(process, state["heartbeat_wall_ns"], state["heartbeat_monotonic_ns"]):
        return Status.LOST
    return status


def _facts(db: sqlite3.Connection, table: str) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in db.execute(f"SELECT key, value FROM {table}")}  # noqa: S608


def _stream_headers(db: sqlite3.Connection) -> dict[int, StreamHeader]:
    found = db.execute("SELECT id, name, axis, keys FROM streams ORDER BY id")
    return {number: StreamHeader(name, axis, tuple(json.loads(keys))) for number, name, axis, keys in found}


def _find(db: sqlite3.Connection, stream: str) -> Chunks:
    headers = _stream_headers(db)
    for number, header in headers.items():
        if header.name == stream:
            return Chunks(db, number, len(header.keys))
    raise UnknownNameError("stream", stream, [header.name for header in headers.values()])


def _block(stream: str, first: int, found: Cells) -> Block:
    """The rows up to the first gap."""
    breaks = np.flatnonzero(np.diff(found.index) != 1)
    end = int(breaks[0]) + 1 if len(breaks) else len(found)
    return Block(stream, first, found.step[:end], found.monotonic_ns[:end], found.low[:end])


def _events(db: sqlite3.Connection, where: str, *values: object) -> tuple[Event, ...]:
    query = f"SELECT id, kind, step, wall_ns, monotonic_ns, data FROM events WHERE {where} ORDER BY id"  # noqa: S608
    rows = db.execute(query, values)
    return tuple(Event(i, kind, step, wall, ns, json.loads(data)) for i, kind, step, wall, ns, data in rows)
