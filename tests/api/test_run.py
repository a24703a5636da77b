"""A run in one's hands: pause, stop, resume, look at it, export it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.errors import ConfigError, RunFileError, UnknownNameError
from bigmodel_lab.runlog import Status
from tests.api.test_control import until

SETTINGS = {"seed": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> lab.TrainingRun:
    """A run of two epochs, for tests that only look at it."""
    return lab.fit("mlp", epochs=2, runs_dir=tmp_path_factory.mktemp("finished"), **SETTINGS)


# commands


def test_pause_holds_a_background_run_and_resume_goes_on():
    """While paused no step is made; afterwards they go on from there."""
    run = lab.fit("mlp", epochs=100_000, background=True)
    until(lambda: "loss" in run.metrics() and len(run.series("loss").value) > 5, "training")
    run.pause()
    until(lambda: run.status is Status.PAUSED, "paused")
    paused_at = run.series("loss").step[-1]

    run.resume()
    until(lambda: run.series("loss").step[-1] > paused_at, "going on")
    run.stop()
    run.wait(30)

    assert run.status is Status.STOPPED
    assert run.series("loss").step.tolist() == list(range(len(run.series("loss").step)))


def test_stop_is_no_error():
    """A stopped run is returned as if it had ended by itself."""
    run = lab.fit("mlp", epochs=100_000, background=True)
    run.stop()
    run.wait(30)

    assert run.status is Status.STOPPED


def test_a_stopped_and_resumed_run_equals_one_that_was_not_stopped():
    """On a CPU both end with the same weights, bit for bit, and the record has no hole."""
    whole = lab.fit("mlp", epochs=30, **SETTINGS)
    run = lab.fit("mlp", epochs=30, background=True, **SETTINGS)
    until(lambda: "loss" in run.metrics() and len(run.series("loss").value) > 10, "training")
    run.stop()
    run.wait(30)
    assert run.status is Status.STOPPED
    run.resume()
    run.wait(60)

    assert run.status is Status.FINISHED
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), run.model.parameters(), strict=True))
    assert run.series("loss").value.tolist() == whole.series("loss").value.tolist()


def test_resume_right_after_stop_waits_for_the_end():
    """Nobody has to wait between `stop()` and `resume()` once the status says stopped."""
    run = lab.fit("mlp", epochs=40, background=True, **SETTINGS)
    run.stop()
    until(lambda: run.status is Status.STOPPED, "stopped")
    run.resume()
    run.wait(60)

    assert run.status is Status.FINISHED


def test_a_finished_run_cannot_be_resumed(finished: lab.TrainingRun):
    """The message says where the run stands and what to do."""
    with pytest.raises(ConfigError, match=r"finished.*lab\.fit"):
        finished.resume()


def test_wait_gives_up_after_its_time():
    """A run that takes longer is not stopped by that."""
    run = lab.fit("mlp", epochs=100_000, background=True)

    with pytest.raises(TimeoutError):
        run.wait(0.05)
    assert run.status is Status.RUNNING
    run.stop()
    run.wait(30)


# what was recorded


def test_a_run_knows_its_numbers(finished: lab.TrainingRun):
    """Steps, times and values of a metric have one length and go upwards in time."""
    series = finished.series("loss")

    assert len(series.step) == len(series.seconds) == len(series.value)
    assert (np.diff(series.seconds) >= 0).all()
    assert 0 <= series.seconds[0] < 600


def test_an_opened_run_has_the_same_numbers(finished: lab.TrainingRun):
    """File and memory tell the same story."""
    opened = lab.open_run(finished.path)

    assert opened.metrics() == finished.metrics()
    assert opened.status is finished.status
    for metric in ("loss", "validation_accuracy"):
        np.testing.assert_array_equal(opened.series(metric).value, finished.series(metric).value)


def test_an_unknown_metric_is_answered_with_the_nearest(finished: lab.TrainingRun):
    """The message lists what the run has."""
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        finished.series("acuracy")


def test_last_of_a_metric_that_was_never_recorded_is_none(finished: lab.TrainingRun):
    """Unknown is None, not 0."""
    assert finished.last("my_score") is None


def test_summary_tells_the_outcome(finished: lab.TrainingRun):
    """A few lines: what ran, where, how well, and the file."""
    summary = finished.summary()

    assert "mlp: finished" in summary
    assert "validation accuracy" in summary
    assert str(finished.path) in summary


def test_evaluate_tells_loss_and_accuracy_of_the_test_data(finished: lab.TrainingRun):
    """The test data were not trained on."""
    result = finished.evaluate("test")

    assert 0 <= result.accuracy <= 1
    assert result.samples > 50


def test_plot_draws_the_charts(finished: lab.TrainingRun):
    """The figure has the charts that the dashboard has."""
    figure = finished.plot()

    assert {"Loss", "Accuracy"} <= {axes.get_title(loc="left") for axes in figure.axes}


def test_export_csv_holds_every_step(finished: lab.TrainingRun, tmp_path: Path):
    """One row a step, with a heading."""
    paths = finished.export_csv(tmp_path / "csv")

    (steps,) = [path for path in paths if "step" in path.name]
    rows = list(csv.DictReader(steps.read_text("utf-8").splitlines()))
    assert [float(row["loss"]) for row in rows] == finished.series("loss").value.tolist()


# lists of runs


def test_runs_lists_the_newest_first(runs_dir: Path):
    """The table shows name, status and file."""
    paths = [lab.fit("mlp", max_steps=2, name=name).path for name in ("older", "newer")]
    table = lab.runs()

    assert [run.path for run in table] == paths[::-1]
    assert "older" in repr(table)
    assert "finished" in repr(table)


def test_an_empty_folder_says_that_it_is_empty(tmp_path: Path):
    """No table, but a sentence."""
    assert "No runs" in repr(lab.runs(tmp_path))


def test_a_file_that_is_no_run_does_not_hide_the_others(runs_dir: Path):
    """A broken file is listed with its problem."""
    lab.fit("mlp", max_steps=2)
    (runs_dir / "broken.bmlrun").write_text("this is no run")

    shown = repr(lab.runs())

    assert "mlp" in shown
    assert "broken" in shown


@pytest.mark.parametrize("content", [None, b"", b"this is no run"], ids=["missing", "empty", "text"])
def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, content: bytes | None):
    """The message names the file."""
    path = tmp_path / "x.bmlrun"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(RunFileError, match=r"x\.bmlrun"):
        lab.open_run(path)


def test_opening_a_run_does_not_change_its_file(finished: lab.TrainingRun):
    """A run file can be copied and mailed: looking at it writes nothing."""
    before = (finished.path.read_bytes(), sorted(finished.path.parent.iterdir()))
    lab.open_run(finished.path).summary()

    assert (finished.path.read_bytes(), sorted(finished.path.parent.iterdir())) == before


def test_an_empty_folder_is_named(tmp_path):
    """Where there is no run, the table says which folder was looked at."""
    assert str(tmp_path) in repr(lab.runs(tmp_path))
