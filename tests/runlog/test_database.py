"""The run file as SQLite sees it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from bigmodel_lab.errors import NewerSchemaError, RunFileError
from bigmodel_lab.runlog import RunLog, RunReader
from bigmodel_lab.runlog.database import APPLICATION_ID, SCHEMA, copy_file


@pytest.fixture
def finished(log, steps):
    """The file of a finished run with one row."""
    steps.append(0, 0, (1.0, 2.0))
    log.close()
    return log.path


def pragma(path, statement):
    """Run one PRAGMA on the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(f"PRAGMA {statement}").fetchone()


def test_a_run_file_carries_its_marks(finished):
    """Application id, schema version, and after the end a rollback journal."""
    assert pragma(finished, "application_id") == (APPLICATION_ID,)
    assert pragma(finished, "user_version") == (SCHEMA,)
    assert pragma(finished, "journal_mode") == ("delete",)


def test_a_live_file_is_in_wal_mode(log):
    """Readers never wait for the writer."""
    assert pragma(log.path, "journal_mode") == ("wal",)


def test_metrics_explain_themselves_in_the_file(finished):
    """Unit and meaning of each key lie beside the numbers."""
    with closing(sqlite3.connect(finished)) as db:
        assert db.execute("SELECT unit, label FROM metrics WHERE key='accuracy'").fetchone() == (
            "fraction",
            "train accuracy",
        )


def test_a_newer_schema_is_refused(finished):
    """For reading and for writing; the message tells both versions."""
    pragma(finished, f"user_version={SCHEMA + 1}")
    for opening in (RunReader, RunLog.reopen):
        with pytest.raises(NewerSchemaError, match=rf"schema {SCHEMA + 1}.*knows {SCHEMA}"):
            opening(finished)


def test_an_older_schema_is_read_only(finished):
    """It can be read, and not gone on with."""
    pragma(finished, f"user_version={SCHEMA - 1}")
    assert RunReader(finished).count("step") == 1
    with pytest.raises(RunFileError, match="older"):
        RunLog.reopen(finished)


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to look like one" * 50])
def test_a_file_that_is_not_ours_is_named(tmp_path, content):
    """Empty files and other formats raise the typed error with the path."""
    path = tmp_path / "other.bmlrun"
    path.write_bytes(content)
    with pytest.raises(RunFileError, match=r"other\.bmlrun"):
        RunReader(path)


def test_another_sqlite_file_is_not_ours(tmp_path):
    """A database without our application id is refused and left as it is."""
    path = tmp_path / "other.bmlrun"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    before = path.read_bytes()
    for opening in (RunReader, RunLog.reopen):
        with pytest.raises(RunFileError, match=r"other\.bmlrun.*not a run file"):
            opening(path)
    assert path.read_bytes() == before


def test_a_missing_file_is_named(tmp_path):
    """Reading makes no file."""
    with pytest.raises(RunFileError, match=r"no run file .*gone\.bmlrun"):
        RunReader(tmp_path / "gone.bmlrun")
    assert list(tmp_path.glob("*.bmlrun")) == []


def test_one_file_can_be_copied_and_read(finished, tmp_path):
    """Nothing but the file itself is needed elsewhere."""
    copy = tmp_path / "elsewhere" / "mailed.bmlrun"
    copy.parent.mkdir()
    shutil.copyfile(finished, copy)
    assert RunReader(copy).read("step").values.tolist() == [[1.0, 2.0]]


READ = """
import os, sqlite3, sys
from bigmodel_lab.runlog import RunReader
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere; the interpreter itself may lie where nobody else reads
print(os.access(os.path.dirname(sys.argv[1]), os.W_OK), RunReader(sys.argv[1]).count("step"))
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions as on POSIX")
def test_a_read_only_folder_is_enough_for_reading(finished, tmp_path):
    """Without any right to write, as another user where this one may do everything."""
    folder = tmp_path / "archive"
    folder.mkdir()
    shutil.copyfile(finished, folder / "old.bmlrun")
    (folder / "old.bmlrun").chmod(0o444)
    folder.chmod(0o555)
    parents = [p for p in folder.parents if os.access(p, os.W_OK) and "pytest" in str(p)]
    modes = {p: p.stat().st_mode for p in parents}
    for parent in parents:
        parent.chmod(0o755)
    try:
        command = [sys.executable, "-c", READ, str(folder / "old.bmlrun")]
        read = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        for parent, mode in modes.items():
            parent.chmod(mode)
        folder.chmod(0o755)
    assert read.stdout.strip() == "False 1", read.stderr


def test_a_copy_of_a_live_run_is_whole(log, steps, tmp_path):
    """Copied through SQLite while it is written, and readable as one file."""
    for i in range(100):
        steps.append(i, i, (1.0, 2.0))
    log.flush(20)
    copy_file(log.path, tmp_path / "copy.bmlrun")
    assert RunReader(tmp_path / "copy.bmlrun").count("step") == 100
    assert pragma(tmp_path / "copy.bmlrun", "journal_mode") == ("delete",)
    assert sorted(p.name for p in tmp_path.glob("*copy*")) == ["copy.bmlrun"]


def test_somebody_who_reads_does_not_spoil_the_end(log, steps, monkeypatch):
    """While another connection holds a transaction, the run still ends whole and readable."""
    monkeypatch.setattr("bigmodel_lab.runlog.database.BUSY_S", 0.1)
    steps.append(0, 0, (1.0, 2.0))
    log.flush(20)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM header").fetchall()
        log.close()
    assert log.trouble is None
    assert RunReader(log.path).status().value == "finished"
