"""Which runs live now: registration, heartbeat, and the judgement of readers."""

import json
import os
import subprocess
import sys
import time

import pytest

from bigmodel_lab.runlog import RunLog, Status, live_runs
from bigmodel_lab.runlog import process as process_module
from bigmodel_lab.runlog.process import ProcessIdentity, boot_id, lost, process_started
from bigmodel_lab.runlog.registry import jupyter_runtime_folder, kernel_id, registry_folder


@pytest.fixture
def me():
    """This process."""
    return ProcessIdentity.current()


@pytest.fixture
def corpse():
    """A process that has ended, and that nobody can mistake for another."""
    code = (
        "import json; from bigmodel_lab.runlog.process import ProcessIdentity as P;"
        "print(json.dumps(P.current().to_json()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return ProcessIdentity.from_json(json.loads(out))


def changed(identity, **facts):
    """The same identity but for these facts."""
    return ProcessIdentity.from_json({**identity.to_json(), **facts})


def test_a_live_run_is_announced_and_withdrawn(log, monkeypatch):
    """It is in the list from its creation to its end."""
    (run,) = live_runs()
    assert (run.run_id, run.name, run.path, run.live_path) == (log.run_id, "a test", log.path, log.path)
    assert (run.status, run.process.pid) == (Status.RUNNING, os.getpid())
    log.close()
    assert live_runs() == []


def test_notebook_and_kernel_are_told(monkeypatch):
    """From Jupyter's environment variable and the kernel's own arguments."""
    monkeypatch.setenv("JPY_SESSION_NAME", "work/first.ipynb")
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "/run/kernel-0a1b-2c3d.json"])
    log = RunLog.create("x")
    (run,) = live_runs()
    log.close()
    assert (run.notebook, run.kernel_id) == ("work/first.ipynb", "0a1b-2c3d")


def test_outside_jupyter_there_is_no_kernel(monkeypatch):
    """None is said, never an empty text."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert kernel_id() is None


def test_the_heart_beats(log, steps):
    """Status and step of the registration follow the run."""
    first = live_runs()[0].heartbeat_wall_ns
    steps.append(41, 0, (1.0, 1.0))
    log.set_status(Status.PAUSED)
    deadline = time.monotonic() + 30
    while live_runs()[0].step != 41:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert live_runs()[0].heartbeat_wall_ns > first
    assert live_runs()[0].status is Status.PAUSED


def test_a_run_whose_process_is_gone_is_lost(log, corpse):
    """The registration of a killed process is shown as LOST for a day, then swept away."""
    path = registry_folder() / "gone.json"
    data = json.loads((registry_folder() / f"{log.run_id}.json").read_text())
    path.write_text(json.dumps({**data, "process": corpse.to_json()}))
    assert sorted(run.status.value for run in live_runs()) == ["lost", "running"]
    old = time.time_ns() - 25 * 3600 * 10**9
    path.write_text(json.dumps({**data, "process": corpse.to_json(), "heartbeat_wall_ns": old}))
    assert [run.status for run in live_runs()] == [Status.RUNNING]
    assert not path.exists()


def test_strange_files_in_the_registry_do_no_harm(log):
    """Half a file, or one of another program, is passed over."""
    (registry_folder() / "half.json").write_text('{"run_id": "x"')
    (registry_folder() / "other.json").write_text('{"other": 1}')
    assert [run.run_id for run in live_runs()] == [log.run_id]


def test_a_run_that_cannot_be_announced_goes_on(tmp_path, monkeypatch):
    """A runtime folder that cannot be made costs only the announcement."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file"))
    log = RunLog.create("x")
    assert log.flush(20)
    assert log.trouble is None
    log.close()


@pytest.mark.parametrize(
    "variables", [{}, {"JUPYTER_DATA_DIR": "/d"}, {"JUPYTER_RUNTIME_DIR": "/r"}, {"XDG_DATA_HOME": "/x"}]
)
def test_the_runtime_folder_is_jupyters(monkeypatch, variables):
    """Our rule gives what jupyter_core gives."""
    paths = pytest.importorskip("jupyter_core.paths")
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(jupyter_runtime_folder()) == paths.jupyter_runtime_dir()


def test_this_process_is_not_lost(me):
    """With a fresh heartbeat."""
    assert not lost(me, time.time_ns(), time.monotonic_ns())


def test_a_process_that_ended_is_lost_at_once(corpse):
    """However fresh its heartbeat is."""
    assert lost(corpse, time.time_ns(), time.monotonic_ns())


def test_a_reused_process_id_is_another_process(me):
    """Same id, other start time: gone."""
    assert changed(me, started="1").gone()


def test_a_stale_heartbeat_on_this_boot_is_lost(me):
    """The process lives, its writer does not; the clock that counts is the monotonic one."""
    stale = time.monotonic_ns() - int(process_module.STALE_S * 2e9)
    assert lost(me, time.time_ns(), stale)
    assert not lost(me, 0, time.monotonic_ns())


def test_a_process_in_another_container_is_judged_by_its_heartbeat(corpse):
    """Its id means nothing here."""
    elsewhere = changed(corpse, pid_namespace="pid:[1]")
    assert not lost(elsewhere, time.time_ns(), time.monotonic_ns())


def test_another_machine_is_judged_by_the_wall_clock(me):
    """Fresh within minutes: alive; older: lost. Its monotonic clock says nothing here."""
    elsewhere = changed(me, boot_id="another", host="another")
    assert not lost(elsewhere, time.time_ns() - 60 * 10**9, 0)
    assert lost(elsewhere, time.time_ns() - 600 * 10**9, time.monotonic_ns())


def test_boot_id_and_start_time_are_stable():
    """Two looks give the same answer; an id that no process has gives None."""
    boot_id.cache_clear()
    first = boot_id()
    boot_id.cache_clear()
    assert boot_id() == first
    assert process_started(os.getpid()) == process_started(os.getpid()) is not None
    assert process_started(2**22 + 1) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_zombie_is_gone():
    """A killed child that its parent has not waited for does not count as alive."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_started(child.pid) is None
    child.wait()
