"""The one thread that writes a run file: drains the rings, takes commands, beats the heart.

Whatever fails here (disk full, file gone) is kept as ``trouble`` and tried again; the
training never notices. Each statement of SQL lets go of Python's interpreter lock and asks
for it back, which makes the training wait for a moment: hence as few of them as possible.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from bigmodel_lab import metrics
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import database
from bigmodel_lab.runlog.base import ProposalRecord, Status
from bigmodel_lab.runlog.chunks import BLOCK, Chunks
from bigmodel_lab.runlog.mailbox import Mailbox
from bigmodel_lab.runlog.network import NetworkCopy
from bigmodel_lab.runlog.process import ProcessIdentity
from bigmodel_lab.runlog.record import Record
from bigmodel_lab.runlog.registry import Registration
from bigmodel_lab.runlog.ring import Stream

_TICK_S = 0.08  # commands are looked for at every tick
_COMMIT_EVERY = 3  # ticks: just below a quarter of a second
_BEAT_S = 1.0


class Writer(threading.Thread):
    """Owns the connection from its start to the end of the run.

    Args:
        record: What to write.
        mailbox: Where commands from other processes go.
        live: The file that is written, on a local disk.
        copy: Carries the file to a network folder; None when it already lies where it belongs.
        registration: Announces the run.

    Raises:
        RunFileError: The file cannot be written.
    """

    def __init__(
        self, record: Record, mailbox: Mailbox, live: Path, copy: NetworkCopy | None, registration: Registration
    ) -> None:
        super().__init__(name="bigmodel_lab run log", daemon=True)
        self._record = record
        self._mailbox = mailbox
        self._live = live
        self._copy = copy
        self._registration = registration
        self._db = database.open_writing(live)
        self._inode = live.stat().st_ino
        self._process = json.dumps(ProcessIdentity.current().to_json())
        self._written = _Written(self._db)
        self._wake = threading.Event()
        self._flushed = threading.Condition()
        self._asked = self._done = 0
        self._ending = False
        self._trouble: str | None = None
        self._gone: str | None = None
        self._next_beat = 0.0
        self._wal = live.with_name(f"{live.name}-wal")
        self._seen: tuple[int, int] | None = None
        with database.file_errors(live):
            self._commit()  # status and process are there before anybody can see the run
        registration.beat(record.status, record.step)

    @property
    def trouble(self) -> str | None:
        """Why samples are not being written now, in words; None when all is well."""
        if self.ident and not self.is_alive() and not self._ending:
            return text("runlog.no_writer", "The thread that writes {path} has ended by an error.", path=self._live)
        return self._gone or self._trouble or (self._copy.trouble if self._copy else None)

    def run(self) -> None:
        """Until the end is asked for."""
        tick = 0
        while not self._ending:
            self._wake.wait(_TICK_S)
            self._wake.clear()
            tick += 1
            if self._written_by_anyone() or tick % _COMMIT_EVERY == 0:
                self._take_commands()
            if tick % _COMMIT_EVERY == 0 or self._asked > self._done:
                self._try_commit()
            self._beat_when_due()
        self._finish()

    def flush(self, timeout: float) -> bool:
        """Wait until everything appended so far is in the file; False when it took longer."""
        with self._flushed:
            self._asked += 1
            ticket = self._asked
            self._wake.set()
            return self._flushed.wait_for(lambda: self._done >= ticket, timeout)

    def end(self, timeout: float) -> None:
        """Write the rest, make the file one, and end the thread; waits at most ``timeout`` seconds."""
        self._ending = True
        self._wake.set()
        self.join(timeout)

    def abandon(self) -> sqlite3.Connection:
        """For a forked child, where this thread does not run: the connection, never to be used or closed."""
        return self._db

    def _try_commit(self) -> None:
        ticket = self._asked
        try:
            self._commit()
        except (sqlite3.Error, OSError) as error:
            self._note_trouble(error)
            return
        if self._trouble is not None:
            self._record.event("recovered", {"error": self._trouble})
            self._trouble = None
        with self._flushed:
            self._done = ticket
            self._flushed.notify_all()

    def _commit(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            status = self._record.status  # before the rows: who reads it finds every row from before it
            after = self._written.advance(self._db, self._record)
            after.state = self._write_state(status)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._written = after
        for gap in after.gaps:  # only now, or a commit that is tried again would tell of it again
            self._record.event("gap", gap)

    def _write_state(self, status: Status) -> dict[str, Any]:
        """Write what of the state is new, a sign of life once a second; all of it."""
        before, now = self._written.state, time.monotonic_ns()
        state: dict[str, Any] = {"status": json.dumps(status.value), "process": self._process}
        if now - before.get("heartbeat_monotonic_ns", -math.inf) >= _BEAT_S * 1e9:
            state |= {"heartbeat_wall_ns": time.time_ns(), "heartbeat_monotonic_ns": now}
        new = [(key, value) for key, value in state.items() if before.get(key) != value]
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", new)
        return {**before, **state}

    def _written_by_anyone(self) -> bool:
        """Somebody wrote into the file since the last look, perhaps a command.

        It may have been written and not be committed yet; hence the look at every commit of ours as well.
        """
        try:
            found = self._wal.stat()
        except OSError:
            return True
        before, self._seen = self._seen, (found.st_mtime_ns, found.st_size)
        return before != self._seen

    def _take_commands(self) -> None:
        try:
            waiting = self._db.execute(
                "SELECT id, name, source, args FROM commands WHERE taken_wall_ns IS NULL ORDER BY id"
            ).fetchall()
            for number, name, source, args in waiting:
                # marked first: a command that cannot be marked would be obeyed again and again
                self._db.execute("UPDATE commands SET taken_wall_ns=? WHERE id=?", (time.time_ns(), number))
                self._mailbox.post(name, source, **json.loads(args))
        except (sqlite3.Error, OSError) as error:
            self._note_trouble(error)

    def _beat_when_due(self) -> None:
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + _BEAT_S
        self._registration.beat(self._record.status, self._record.step)
        self._gone = self._gone or self._missing()
        if self._copy:
            self._copy.start_when_due()

    def _missing(self) -> str | None:
        """SQLite goes on writing into a file that was deleted; nobody would ever see it."""
        try:
            if self._live.stat().st_ino == self._inode:
                return None
        except OSError:
            pass
        return text(
            "runlog.vanished",
            "The run file {path} was removed or replaced while the run went on; what is recorded now is lost.",
            path=self._live,
        )

    def _finish(self) -> None:
        self._try_commit()
        self._try_commit()  # events of the first
        self._gone = self._gone or self._missing()
        if self._copy:
            self._copy.wait()
        try:
            database.close_writing(self._db)
        except (sqlite3.Error, OSError) as error:
            self._note_trouble(error)
        if self._copy:
            self._copy.finish()
        self._registration.remove()

    def _note_trouble(self, error: Exception) -> None:
        self._trouble = text(
            "runlog.trouble",
            "The run log cannot write {path}: {error}. Training goes on; the newest samples are kept in memory.",
            path=self._live,
            error=error,
        )


class _Written:
    """How far the file is: a new one replaces it when a commit succeeds."""

    def __init__(self, db: sqlite3.Connection | None = None) -> None:
        self.header: dict[str, object] | None = None
        self.events = 0
        self.rows: dict[str, int] = {}
        self.keys: dict[str, tuple[str, ...]] = {}
        self.gaps: list[dict[str, object]] = []
        self.state: dict[str, Any] = {}
        self.proposals: dict[int, ProposalRecord] = {}
        self.ids: dict[str, int] = {}
        if db is not None:
            # what was sent to an earlier process is not meant for this one
            db.execute("UPDATE commands SET taken_wall_ns=0 WHERE taken_wall_ns IS NULL")
            self.events = db.execute("SELECT count(*) FROM events").fetchone()[0]
            for number, name in db.execute("SELECT id, name FROM streams").fetchall():
                self.rows[name] = Chunks(db, number, 0).count()

    def advance(self, db: sqlite3.Connection, record: Record) -> _Written:
        """Write what is new, within the caller's transaction."""
        after = _Written()
        after.header, after.ids = record.header, dict(self.ids)
        if self.header is not after.header:
            _write_header(db, record)
        for stream in record.streams():
            after.keys[stream.name] = self._write_keys(db, stream)
            after.rows[stream.name] = self._write_rows(db, stream, record, after)
        after.events = self._write_events(db, record)
        after.proposals = self._write_proposals(db, record)
        return after

    def _write_keys(self, db: sqlite3.Connection, stream: Stream) -> tuple[str, ...]:
        keys = stream.keys
        if self.keys.get(stream.name) != keys:
            db.execute(
                "INSERT INTO streams (name, axis, keys) VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET keys=excluded.keys",
                (stream.name, stream.axis, json.dumps(keys)),
            )
            known = (metrics.describe(key) for key in keys)
            rows = [(m.key, m.unit, m.label.english, m.meaning.english) for m in known]
            db.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", rows)
        return keys

    def _write_rows(self, db: sqlite3.Connection, stream: Stream, record: Record, after: _Written) -> int:
        cursor = self.rows.get(stream.name, 0)
        block = stream.read(cursor)
        if not len(block):
            return cursor
        if block.first > cursor:
            after.gaps.append({"stream": stream.name, "first": cursor, "rows": block.first - cursor})
        chunks = Chunks(db, after.id(db, stream.name), block.values.shape[1])
        chunks.insert(block, time.time_ns() - record.now_ns())
        if block.next // BLOCK > cursor // BLOCK:
            chunks.seal()
        return block.next

    def id(self, db: sqlite3.Connection, stream: str) -> int:
        """Number of a stream in the file, asked for once."""
        if stream not in self.ids:
            (self.ids[stream],) = db.execute("SELECT id FROM streams WHERE name=?", (stream,)).fetchone()
        return self.ids[stream]

    def _write_events(self, db: sqlite3.Connection, record: Record) -> int:
        new = record.events(self.events)
        if new:
            rows = [(e.index, e.kind, e.step, e.wall_ns, e.monotonic_ns, json.dumps(e.data)) for e in new]
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        return new[-1].index + 1 if new else self.events

    def _write_proposals(self, db: sqlite3.Connection, record: Record) -> dict[int, ProposalRecord]:
        now = record.proposals
        new = [one for number, one in now.items() if self.proposals.get(number) is not one]
        if new:
            rows = [(p.id, p.tip, p.state, p.wall_ns, json.dumps(p.data)) for p in new]
            db.executemany("INSERT OR REPLACE INTO proposals VALUES (?, ?, ?, ?, ?)", rows)
        return now


def _write_header(db: sqlite3.Connection, record: Record) -> None:
    facts = ((key, json.dumps(value)) for key, value in record.header.items())
    db.executemany("INSERT OR REPLACE INTO header VALUES (?, ?)", facts)
