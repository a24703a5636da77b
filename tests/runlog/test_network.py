"""Runs whose folder lies on a network file system."""

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import psutil
import pytest

from bigmodel_lab.runlog import RunLog, RunReader, Status, database, folder, live_runs, network, send_command
from bigmodel_lab.runlog.folder import live_folder

DETECT = folder.on_network


@pytest.fixture
def on_network(monkeypatch):
    """Every folder but the local one counts as a network folder."""
    monkeypatch.setattr(folder, "on_network", lambda path: live_folder() not in (path, *path.parents))


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("nfs4", True),
        ("cifs", True),
        ("smb3", True),
        ("fuse.sshfs", True),
        ("9p", True),
        ("ext4", False),
        ("xfs", False),
    ],
)
def test_the_file_system_of_the_nearest_mount_decides(tmp_path, monkeypatch, kind, answer):
    """A mount above counts less than the one that holds the folder."""
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert DETECT(tmp_path / "runs" / "deep") is answer
    assert DETECT(tmp_path.parent) is False


def test_the_live_file_is_local_and_arrives_at_the_end(on_network, tmp_path):
    """SQLite never writes on the network while the run lives; afterwards one file lies there."""
    log = RunLog.create("far")
    log.stream("step", keys=("loss",)).append(1, 1, (0.5,))
    (live,) = live_runs()
    assert live.live_path.parent == live_folder()
    assert live.path == log.path == tmp_path / "runs" / live.path.name
    log.close(Status.FINISHED)
    assert [p.name for p in log.path.parent.iterdir()] == [log.path.name]
    assert list(live_folder().iterdir()) == []
    reader = RunReader(log.path)
    assert (reader.status(), reader.count("step")) == (Status.FINISHED, 1)


def test_a_live_run_is_read_and_commanded_by_its_network_path(on_network):
    """Who knows only the folder sees the newest rows and reaches the loop."""
    log = RunLog.create("far")
    log.stream("step", keys=("loss",)).append(1, 1, (0.5,))
    log.flush(20)
    assert RunReader(log.path).count("step") == 1
    send_command(log.path, "pause")
    assert log.mailbox.wait(20)
    log.close()


def test_copies_arrive_while_the_run_goes_on(on_network, monkeypatch):
    """Each is a whole file that replaces the last."""
    monkeypatch.setattr(network, "EVERY_S", 0.0)
    log = RunLog.create("far")
    deadline = 200
    while not log.path.exists() and deadline:
        log.mailbox.wait(0.1)
        deadline -= 1
    assert log.path.exists()
    log.close()


def test_somebody_who_reads_until_the_end_leaves_nothing_behind(on_network, monkeypatch):
    """The local file and its companions all go, and the copy is whole."""
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    log = RunLog.create("far")
    log.stream("step", keys=("loss",)).append(1, 1, (0.5,))
    (live,) = live_runs()
    with closing(sqlite3.connect(live.live_path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM header").fetchall()
        log.close(Status.FINISHED)
    assert RunReader(log.path).count("step") == 1
    assert list(live_folder().iterdir()) == []


def test_a_network_that_fails_keeps_the_local_file(on_network):
    """Trouble tells, and nothing is lost."""
    log = RunLog.create("far")
    log.stream("step", keys=("loss",)).append(1, 1, (0.5,))
    (live,) = live_runs()
    for path in log.path.parent.iterdir():
        path.unlink()
    log.path.parent.rmdir()
    log.close(Status.FINISHED)
    assert log.path.name in log.trouble
    assert RunReader(live.live_path).count("step") == 1


def test_a_run_on_the_network_goes_on(on_network):
    """Reopened from its folder, written locally again, and back in its folder at the end."""
    log = RunLog.create("far")
    log.stream("step", keys=("loss",)).append(1, 1, (0.5,))
    log.close(Status.STOPPED)
    again = RunLog.reopen(log.path)
    again.stream("step").append(2, 2, (0.4,))
    again.close(Status.FINISHED)
    assert RunReader(log.path).read("step").step.tolist() == [1, 2]
    assert list(live_folder().iterdir()) == []
