"""The run log: what a training appends to and what views of a live run read."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel_lab.errors import RunFileError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import cells, database, folder
from bigmodel_lab.runlog.base import Axis, Block, Event, ProposalRecord, Reduced, Status, StreamHeader
from bigmodel_lab.runlog.mailbox import Command, Mailbox
from bigmodel_lab.runlog.network import NetworkCopy
from bigmodel_lab.runlog.process import ProcessIdentity, boot_id
from bigmodel_lab.runlog.reader import RunReader
from bigmodel_lab.runlog.record import Past, Record
from bigmodel_lab.runlog.registry import Registration
from bigmodel_lab.runlog.ring import Start, Stream
from bigmodel_lab.runlog.writer import Writer

_CLOSE_S = 60.0  # patience with a slow disk at the end
_OPEN: set[RunLog] = set()


class RunLog:
    """The append-only record of one run, and the source of everything shown while it runs.

    Made by :meth:`create` or :meth:`reopen`. Appending and noting never wait for the disk:
    one thread writes the file behind it, at most a quarter of a second later. Reading
    gives the newest rows from memory and older ones from the file.

    >>> import tempfile, time
    >>> folder = tempfile.TemporaryDirectory()
    >>> log = RunLog.create("example", folder.name)
    >>> steps = log.stream("step", axis="step", keys=("loss",))
    >>> steps.append(1, time.monotonic_ns(), (0.5,))
    >>> log.close(Status.FINISHED)
    >>> RunReader(log.path).read("step").values
    array([[0.5]])
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, live: Path, record: Record) -> None:
        self.path = path
        """The run file."""
        self.mailbox = Mailbox(self._note_command)
        """Commands for the training loop."""
        self._record = record
        self._abandoned = False
        copy = None if live == path else NetworkCopy(live, path)
        registration = Registration(record.header, path, live, ProcessIdentity.current())
        self._writer = Writer(record, self.mailbox, live, copy, registration)
        _OPEN.add(self)
        self._writer.start()

    @classmethod
    def create(
        cls,
        name: str,
        folder: str | os.PathLike[str] | None = None,
        header: Mapping[str, Any] | None = None,
        origin: str = "measured",
    ) -> RunLog:
        """Make a new run file and start to record.

        Args:
            name: Name for people; part of the file name.
            folder: Folder for the file; None: ``$BIGMODEL_LAB_RUNS``, else the user's data folder.
            header: Facts known already, values of JSON, see :meth:`Source.header`.
            origin: ``"measured"``, ``"simulated"`` or ``"recorded"``.

        Raises:
            RunFolderError: The folder cannot be written.
            RunFileError: The file cannot be made there.
        """
        run_id = _new_id(name)
        path = _folder(folder) / f"{run_id}{_SUFFIX}"
        started = {"started_wall_ns": time.time_ns(), "started_monotonic_ns": time.monotonic_ns()}
        facts = {**(header or {}), "run_id": run_id, "name": name, "origin": origin, **started, "boot_id": boot_id()}
        live = _live_path(path)
        # the identity alone: the writer's first commit brings the other facts
        database.make_file(live, {key: json.dumps(facts[key]) for key in ("run_id", "name", "origin", *started)})
        log = cls(path, live, Record(facts))
        log.event("started")
        return log

    @classmethod
    def reopen(cls, path: str | os.PathLike[str]) -> RunLog:
        """Go on with a run that has ended, or whose process is gone; rows and events continue.

        Raises:
            RunFileError: The run is still being written, or its older schema can only be read.
            NewerSchemaError: A newer version of the library wrote the file.
        """
        file = Path(path).absolute()
        reader = RunReader(file)
        if not reader.status().ended:
            raise RunFileError(
                text(
                    "runlog.still_live",
                    "The run {path} is still being written by process {pid}. Stop it first.",
                    path=file,
                    pid=reader.state()["process"]["pid"],
                )
            )
        record = Record(reader.header(), _past(reader))
        live = _live_path(file)
        if live != file and not live.exists():
            database.copy_file(file, live)
        log = cls(file, live, record)
        log.event("reopened")
        return log

    @property
    def run_id(self) -> str:
        """Id of the run, unique everywhere."""
        return str(self._record.header["run_id"])

    @property
    def step(self) -> int:
        """Last step appended to the stream ``"step"``; -1 before the first."""
        return self._record.step

    @property
    def trouble(self) -> str | None:
        """Why samples are not reaching the file, in words; None when all is well. Training goes on."""
        return self._writer.trouble

    def update_header(self, **facts: Any) -> None:
        """Add facts that became known later, values of JSON."""
        self._record.update_header(facts)

    def stream(self, name: str, axis: Axis = "step", keys: Sequence[str] = ()) -> Stream:
        """The stream with this name; made on the first call, the same object afterwards.

        Args:
            name: ``"step"``, ``"epoch"``, or the name of a sampler.
            axis: What views draw it against by default.
            keys: Metric keys of the columns; those that are missing are added.

        Raises:
            ConfigError: More than 32 keys.
        """
        return self._record.make_stream(name, axis, keys)

    def event(self, kind: str, **data: Any) -> None:
        """Note that something happened now. Any thread; data are values of JSON."""
        self._record.event(kind, data)

    def set_unknown(self, metric_key: str, reason: str | None) -> None:
        """Say in words why a metric has no value, or that it has one again (None). Any thread."""
        self._record.set_unknown(metric_key, reason)

    def propose(self, tip: str, data: Mapping[str, Any]) -> int:
        """Add a proposal to the record, in the state ``"proposed"``; its number. Any thread.

        Args:
            tip: Name of the tip.
            data: What a person is shown of it, values of JSON.
        """
        return self._record.propose(tip, data)

    def update_proposal(self, number: int, state: str, /, **data: Any) -> None:
        """Say what became of a proposal. Any thread.

        Args:
            number: As :meth:`propose` gave it.
            state: One of :data:`bigmodel_lab.runlog.base.ProposalState`.
            data: Added to what is known of it, or in the place of it; values of JSON.

        Raises:
            UnknownNameError: There is no proposal of this number, or no such state.
        """
        self._record.update_proposal(number, state, data)

    def set_status(self, status: Status, why: Mapping[str, Any] | None = None) -> None:
        """Say where the run stands; records ``paused``, ``resumed`` or ``ended`` when that is new.

        Args:
            status: Where it stands.
            why: Facts for the event, values of JSON, e.g. the error that ended the run; None has none.
        """
        self._record.set_status(status, why)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything appended so far is in the file.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it is; False after ``timeout``, in a forked child, or when the file cannot be written.
        """
        return not self._abandoned and self._writer.is_alive() and self._writer.flush(timeout)

    def close(self, status: Status = Status.FINISHED, why: Mapping[str, Any] | None = None) -> None:
        """Write the rest and make the file one that can be copied and mailed. May be called twice.

        Never raises for a file that cannot be written; :attr:`trouble` tells.

        Args:
            status: How it ended.
            why: As for :meth:`set_status`.
        """
        if self in _OPEN:
            _OPEN.discard(self)
            self.set_status(status, why)
            self._writer.end(_CLOSE_S)

    def header(self) -> Mapping[str, Any]:
        """Facts about the run, see :meth:`Source.header`."""
        return self._record.header

    def status(self) -> Status:
        """Where the run stands now."""
        return self._record.status

    def streams(self) -> tuple[StreamHeader, ...]:
        """Every stream so far."""
        return tuple(stream.header() for stream in self._record.streams())

    def count(self, stream: str) -> int:
        """Rows that this stream has so far."""
        return self._record.stream(stream).count

    def read(self, stream: str, start: int = 0, limit: int | None = None) -> Block:
        """Rows from index ``start`` on, at most ``limit``, up to the next gap."""
        start = max(start, 0)
        newest = self._record.stream(stream).read(start, limit)
        if newest.first <= start:
            return newest
        rows = newest.first - start
        older = self._from_file(stream, start, rows if limit is None else min(rows, limit))
        if older is None or not len(older):
            return newest
        if older.next < newest.first:
            return older
        return _joined(older, newest, limit)

    def reduced(self, stream: str, buckets: int, start: int = 0, stop: int | None = None) -> Reduced:
        """Rows ``start`` … ``stop`` as at most ``buckets`` buckets of minimum and maximum."""
        start = max(start, 0)
        count = self.count(stream)
        stop = count if stop is None else min(stop, count)
        size = cells.rows_per_bucket(start, stop, buckets)
        newest = self._record.stream(stream).read(start)
        width = newest.values.shape[1]
        parts = [cells.of_rows(newest).between(start, stop)]
        if newest.first > start:
            parts.insert(0, self._cells_from_file(stream, size, start, min(newest.first, stop), width))
        return cells.as_reduced(cells.join(parts, width), size)

    def events(self, start: int = 0) -> tuple[Event, ...]:
        """Events from index ``start`` on."""
        newest = self._record.events(start)
        first = newest[0].index if newest else self._record.next_event
        older = self._events_from_file(start) if start < first else ()
        return (*(event for event in older if event.index < first), *newest)

    def proposals(self) -> tuple[ProposalRecord, ...]:
        """Every proposal as it stands now."""
        return tuple(self._record.proposals.values())

    def unknown(self) -> Mapping[str, str]:
        """Why a metric has no value now, in words, by metric key."""
        return self._record.unknown

    def _from_file(self, stream: str, start: int, limit: int) -> Block | None:
        if self._abandoned:  # SQLite must not touch in a child what its parent has open
            return None
        with self._best_effort():
            return RunReader(self.path).read(stream, start, limit)
        return None

    def _cells_from_file(self, stream: str, rows: int, start: int, stop: int, width: int) -> cells.Cells:
        with self._best_effort():
            return RunReader(self.path).cells(stream, rows, start, stop)
        return cells.join([], width)

    def _events_from_file(self, start: int) -> tuple[Event, ...]:
        with self._best_effort():
            return RunReader(self.path).events(start)
        return ()

    def _best_effort(self) -> contextlib.suppress:
        """The file may be gone, or not have the stream yet: then what is in memory must do."""
        return contextlib.suppress(RunFileError, UnknownNameError)

    def _note_command(self, command: Command) -> None:
        self.event("command", name=command.name, source=command.source, args=dict(command.args))

    def _abandon(self) -> None:
        """In a forked child: the file belongs to the parent alone."""
        self._abandoned = True
        self._record.new_locks()
        _NEVER_CLOSED.append(self._writer.abandon())


_SUFFIX = folder.SUFFIX
_NEVER_CLOSED: list[object] = []  # closing a connection in a child would drop the parent's locks


def _folder(chosen: str | os.PathLike[str] | None) -> Path:
    return folder.writable_runs_folder(chosen)


def _live_path(path: Path) -> Path:
    if not folder.on_network(path.parent):
        return path
    return folder.writable_runs_folder(folder.live_folder()) / path.name


def _new_id(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "run"
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}-{secrets.token_hex(3)}"


def _past(reader: RunReader) -> Past:
    header = reader.header()
    shift = 0
    if header.get("boot_id") != boot_id():  # another clock: let it go on from the wall clock's distance
        ran_ns = time.time_ns() - header["started_wall_ns"]
        shift = header["started_monotonic_ns"] + ran_ns - time.monotonic_ns()
    starts = {
        stream.name: (stream.axis, stream.keys, Start(reader.count(stream.name), reader.last_step(stream.name), shift))
        for stream in reader.streams()
    }
    events = reader.events()
    return Past(len(events), shift, dict(reader.unknown()), starts, reader.proposals())


def _joined(older: Block, newest: Block, limit: int | None) -> Block:
    step = np.concatenate([older.step, newest.step])[:limit]
    monotonic_ns = np.concatenate([older.monotonic_ns, newest.monotonic_ns])[:limit]
    width = newest.values.shape[1]
    values = np.concatenate([cells.widen(older.values, width), newest.values])[:limit]
    return Block(older.stream, older.first, step, monotonic_ns, values)


def _close_all() -> None:
    for log in list(_OPEN):
        log.close(Status.STOPPED)


def _abandon_all() -> None:
    for log in list(_OPEN):
        log._abandon()  # noqa: SLF001 - of this module
    _OPEN.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
