"""The run file as SQLite sees it: its marks, its tables, and the ways to open it.

Only SQLite ever opens the file: in one process, closing any other handle of it would
drop SQLite's locks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bigmodel_lab.errors import NewerSchemaError, RunFileError
from bigmodel_lab.i18n import text

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = int.from_bytes(b"BMLr", "big")
"""Marks a SQLite file as a run file."""
SCHEMA = 1
"""Version of the tables below."""
BUSY_S = 5.0
"""How long to wait for another process's transaction."""

_TABLES = """
CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT NOT NULL);       -- facts; values are JSON throughout
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL);        -- status, process, heartbeat
CREATE TABLE metrics (key TEXT PRIMARY KEY, unit TEXT NOT NULL, label TEXT NOT NULL, meaning TEXT NOT NULL);
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, axis TEXT NOT NULL, keys TEXT NOT NULL);
CREATE TABLE ticks (                                                    -- a chunk of rows: when they were
    stream INTEGER NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL,                                           -- time.time_ns() of the first row
    step BLOB NOT NULL, monotonic_ns BLOB NOT NULL,                     -- little-endian int64, one a row
    PRIMARY KEY (stream, first));
CREATE TABLE samples (                                                  -- and what: one BLOB a metric;
    stream INTEGER NOT NULL, first INTEGER NOT NULL, position INTEGER NOT NULL,
    data BLOB NOT NULL,                                                 -- little-endian float64; none: all unknown
    PRIMARY KEY (stream, first, position));
CREATE TABLE pyramid (                                                  -- minimum and maximum of stretches
    stream INTEGER NOT NULL, level INTEGER NOT NULL, first INTEGER NOT NULL, width INTEGER NOT NULL,
    row_index BLOB NOT NULL, step BLOB NOT NULL, monotonic_ns BLOB NOT NULL, low BLOB NOT NULL, high BLOB NOT NULL,
    PRIMARY KEY (stream, level, first));
CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, step INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL, monotonic_ns INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE proposals (id INTEGER PRIMARY KEY, tip TEXT NOT NULL, state TEXT NOT NULL,
    wall_ns INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE commands (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, source TEXT NOT NULL,
    args TEXT NOT NULL, wall_ns INTEGER NOT NULL, taken_wall_ns INTEGER);
"""


def make_file(path: Path, header: dict[str, str]) -> None:
    """Make a run file that is whole from the first moment it can be seen.

    Args:
        path: Where; nothing may lie there yet.
        header: Values as JSON text by key.
    """
    unfinished = path.with_name(f".{path.name}.new")
    with file_errors(path):
        with closing(connect(unfinished, "rwc")) as db:
            db.execute("PRAGMA synchronous=OFF")  # it does not exist yet for anybody
            db.executescript(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA}; {_TABLES}")
            db.executemany("INSERT INTO header VALUES (?, ?)", header.items())
        unfinished.rename(path)


def open_writing(path: Path) -> sqlite3.Connection:
    """The one connection that writes the samples, in WAL mode.

    Raises:
        RunFileError: The file cannot be written, or its older schema can only be read.
        NewerSchemaError: A newer version wrote it.
    """
    with file_errors(path):
        db = connect(path, "rw")
        try:
            _check_current(db, path)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA journal_size_limit={16 * 1024 * 1024}")
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One short read transaction; while it lasts the file looks as at one moment.

    Raises:
        RunFileError: There is no such file, or it is not a run file.
        NewerSchemaError: A newer version wrote it.
    """
    with file_errors(path), closing(_open_reading(path)) as db:
        _check_ours(db, path)
        db.execute("BEGIN")
        yield db


@contextmanager
def inserting(path: Path) -> Iterator[sqlite3.Connection]:
    """One short write transaction from any process, for small things such as a command."""
    with file_errors(path), closing(connect(path, "rw")) as db:
        _check_current(db, path)
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")


def close_writing(db: sqlite3.Connection) -> None:
    """Put everything into the one file and close it: from now on it can be copied and mailed."""
    import sqlite3

    deadline = time.monotonic() + BUSY_S
    try:
        while db.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
            _out_of_patience(deadline)
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        # somebody still reads: the file stays in WAL mode, whole and readable
    finally:
        db.close()


def copy_file(live: Path, target: Path) -> None:
    """Copy a run file, even one being written, through SQLite; ``target`` is replaced at once.

    Args:
        live: The file on a local disk.
        target: Where the copy goes, also on a network file system.
    """
    arriving = target.with_name(f".{target.name}.{os.getpid()}.new")
    with file_errors(target):
        with closing(connect(live, "ro")) as source, closing(connect(arriving, "rwc")) as copy:
            source.backup(copy)
            copy.execute("PRAGMA locking_mode=EXCLUSIVE")  # WAL without shared memory, which networks lack
            copy.execute("PRAGMA journal_mode=DELETE")
        arriving.replace(target)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A bare connection; ``mode`` is ``"ro"``, ``"rw"`` or ``"rwc"``."""
    import sqlite3

    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into :class:`RunFileError`, which names the file."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise RunFileError(_cannot_use(path, error)) from error
    except OSError as error:
        if isinstance(error, RunFileError):
            raise
        raise RunFileError(_cannot_use(path, error)) from error


def _cannot_use(path: Path, error: Exception) -> str:
    return text("runlog.cannot_use", "The run file {path} cannot be used: {reason}.", path=path, reason=error)


def _open_reading(path: Path) -> sqlite3.Connection:
    import sqlite3

    if not path.exists():
        raise RunFileError(text("runlog.no_file", "There is no run file {path}.", path=path))
    db = connect(path, "ro")
    try:
        db.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        if "unable to open" not in str(error) or path.with_name(path.name + "-wal").exists():
            raise
        # a file in WAL mode, without a log, in a folder where nothing can be written
        return connect(path, "ro&immutable=1")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _check_ours(db: sqlite3.Connection, path: Path) -> int:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise RunFileError(
            text(
                "runlog.not_ours",
                "{path} is a SQLite file, and not a run file (application id {found}). Run files end in .bmlrun.",
                path=path,
                found=application,
            )
        )
    if schema > SCHEMA:
        raise NewerSchemaError(
            text(
                "runlog.newer",
                "{path} was written by a newer bigmodel_lab (schema {found}; this one knows {known}). "
                "Upgrade:  pip install -U bigmodel_lab",
                path=path,
                found=schema,
                known=SCHEMA,
            )
        )
    return int(schema)


def _check_current(db: sqlite3.Connection, path: Path) -> None:
    schema = _check_ours(db, path)
    if schema != SCHEMA:
        raise RunFileError(
            text(
                "runlog.older",
                "{path} was written by an older bigmodel_lab (schema {found}; now {known}). "
                "It can be read; to go on with it, start a new run.",
                path=path,
                found=schema,
                known=SCHEMA,
            )
        )


def _out_of_patience(deadline: float) -> None:
    import sqlite3

    if time.monotonic() > deadline:
        raise sqlite3.OperationalError("database is locked")
    time.sleep(0.05)
