"""Every test here gets its own folders, so that no real run is ever seen or touched."""

import pytest

from bigmodel_lab.runlog import RunLog, Status


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Runs and the registry lie in the test's folder, on what counts as a local disk."""
    monkeypatch.setenv("BIGMODEL_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "local"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "local").mkdir()
    monkeypatch.setattr("bigmodel_lab.runlog.folder.on_network", lambda _: False)


@pytest.fixture
def log():
    """A run log that is closed at the end of the test."""
    made = RunLog.create("a test")
    yield made
    made.close(Status.STOPPED)


@pytest.fixture
def steps(log):
    """Its stream of steps with two keys."""
    return log.stream("step", axis="step", keys=("loss", "accuracy"))
