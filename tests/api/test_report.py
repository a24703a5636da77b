"""What a person asks a finished run: its report, its predictions, their cost, their reasons."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bigmodel_lab as lab
from bigmodel_lab.api._report import EvaluationReport
from bigmodel_lab.data import from_arrays, load_data
from bigmodel_lab.errors import ConfigError
from tests.api.test_control import until


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lab.TrainingRun:
    """Three epochs of the small network, for tests that only ask."""
    return lab.fit("mlp", epochs=3, seed=1, device="cpu", runs_dir=tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="module")
def report(run: lab.TrainingRun) -> EvaluationReport:
    """Its report on the test digits."""
    return run.report()


def test_the_report_agrees_with_evaluate(run: lab.TrainingRun, report: EvaluationReport):
    """One accuracy, one loss."""
    evaluation = run.evaluate("test")

    assert report.accuracy == pytest.approx(evaluation.accuracy)
    assert report.loss == pytest.approx(evaluation.loss, rel=1e-5)


def test_the_report_counts_every_sample(report: EvaluationReport):
    """The confusion matrix holds each test digit once."""
    assert report.measures.confusion.sum() == report.measured.samples == 180


def test_the_report_prints_tables(report: EvaluationReport):
    """Title, scores by class, confusion, gap, verdict and mistakes, one below the other."""
    shown = repr(report)

    assert shown.startswith("mlp on digits, test: 180 samples")
    for part in ("By class", "weighted mean", "Confusion matrix", "Over-fitting gap", "Worst mistakes"):
        assert part in shown


def test_tables_fit_into_a_terminal(report: EvaluationReport):
    """No line is wider than a hundred letters."""
    assert max(map(len, repr(report).splitlines())) <= 100


def test_the_report_reads_on_light_and_dark_pages(report: EvaluationReport):
    """Its HTML has no colours of its own."""
    html = report._repr_html_()

    assert html.count("<table") == 4
    assert "color:#" not in html


def test_the_gap_is_that_of_the_recorded_epochs(run: lab.TrainingRun, report: EvaluationReport):
    """Training minus validation loss of the last row of the run file."""
    last = report.curves.last

    assert last.epoch == 3
    assert last.validation_loss == run.series("validation_loss").value[-1]


def test_mistakes_point_into_the_test_data(report: EvaluationReport):
    """A mistake's index finds its sample again, whose label is not what was predicted."""
    worst = report.mistakes[0]
    test = load_data("digits", seed=1).test

    assert torch.equal(test.x[worst.index], worst.sample)
    assert str(int(test.y[worst.index])) == worst.answer.true != worst.answer.predicted


def test_the_report_plots(report: EvaluationReport):
    """As a figure that shows itself in a cell."""
    assert report.plot()._repr_png_().startswith(b"\x89PNG")


def test_a_reopened_run_has_no_report(run: lab.TrainingRun):
    """Its model is not in memory; the methods are not there rather than fail."""
    opened = lab.open_run(run.path)

    assert [name for name in ("report", "predict", "inference_cost", "explain") if hasattr(opened, name)] == []


def test_predict_recognises_a_digit(run: lab.TrainingRun):
    """A raw picture of bytes is scaled as in training, so the class is that of evaluate."""
    test = load_data("digits", seed=1).test
    found = run.predict(test.x[:, 0].numpy())

    assert (found.classes == test.y.numpy()).mean() == pytest.approx(run.evaluate("test").accuracy)


def test_predict_of_a_regression_is_an_array():
    """Numbers, one row a sample."""
    x = torch.linspace(0, 1, 50)[:, None]
    part = {"train": (x, 2 * x), "validation": (x, 2 * x)}
    data = from_arrays(part, task="regression", name="line")
    answer = lab.fit(nn.Linear(1, 1), data, epochs=1).predict([[0.5]])

    assert isinstance(answer, np.ndarray)
    assert answer.shape == (1, 1)


def test_inference_cost_has_a_row_a_size(run: lab.TrainingRun):
    """And a plot of latency and throughput."""
    cost = run.inference_cost((1, 4))

    assert [batch.batch_size for batch in cost.batches] == [1, 4]
    assert len(cost.plot().axes) == 2


def test_explain_shows_a_picture(run: lab.TrainingRun):
    """The mistake that the report names can be looked into."""
    heat = run.explain(3)

    assert heat.values.shape == (28, 28)
    assert heat.name in repr(heat)
    assert heat._repr_png_().startswith(b"\x89PNG")


def test_a_run_that_trains_is_not_asked():
    """The model changes under one's hands: the message says what to do; paused, it answers."""
    run = lab.fit("mlp", epochs=100_000, background=True)
    try:
        until(lambda: "loss" in run.metrics(), "training")
        with pytest.raises(ConfigError, match=r"run\.pause\(\)"):
            run.predict(torch.zeros(28, 28))
        run.pause()
        until(lambda: run.status.value == "paused", "paused")
        assert len(run.predict(torch.zeros(28, 28))) == 1
    finally:
        run.stop()
        run.wait(30)


def test_asking_while_paused_does_not_change_the_training():
    """A report in the middle leaves weights and random numbers of the run as they were, to the bit."""
    settings = {"epochs": 6, "seed": 2, "device": "cpu"}
    whole = lab.fit("mlp", **settings)
    asked = lab.fit("mlp", background=True, **settings)
    asked.pause()
    until(lambda: asked.status.value in {"paused", "finished"}, "paused")
    asked.report("validation")
    if asked.status.value == "paused":
        asked.resume()
    asked.wait(60)

    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), asked.model.parameters(), strict=True))


@pytest.mark.parametrize(
    "ask",
    [lambda run: run.report(), lambda run: run.inference_cost(), lambda run: run.explain(0)],
    ids=["report", "inference_cost", "explain"],
)
def test_no_question_is_answered_while_training(ask):
    """All of them need a model that stands still."""
    run = lab.fit("mlp", epochs=100_000, background=True)
    try:
        until(lambda: "loss" in run.metrics(), "training")
        with pytest.raises(ConfigError, match="training now"):
            ask(run)
    finally:
        run.stop()
        run.wait(30)


def test_a_report_on_training_data_tells_more_than_the_epochs(run: lab.TrainingRun):
    """Measured at the end and without dropout, it is not the mean over the last epoch."""
    report = run.report("train")

    assert report.measured.samples == run.header["data"]["samples"]["train"]
    assert report.accuracy > run.series("accuracy").value[:10].mean()


def test_a_report_without_classes_has_no_accuracy():
    """A regression: None, and its errors instead."""
    x = torch.linspace(0, 1, 50)[:, None]
    data = from_arrays({"train": (x, 2 * x), "test": (x, 2 * x)}, task="regression", name="line")
    report = lab.fit(nn.Linear(1, 1), data, epochs=2, learning_rate=0.1).report()

    assert report.accuracy is None
    assert "R²" in repr(report)


def test_a_report_says_when_nothing_is_wrong():
    """A perfect model: no table of mistakes, but two words."""
    x = torch.eye(3).repeat(20, 1)
    y = torch.arange(3).repeat(20)
    report = lab.fit(nn.Linear(3, 3), {"train": (x, y), "test": (x, y)}, epochs=30, learning_rate=0.5).report()

    assert report.accuracy == 1.0
    assert "No mistakes." in repr(report)


def test_a_heat_map_by_occlusion_has_both_signs_of_its_scale(run: lab.TrainingRun):
    """The figure is drawn around zero."""
    low, high = run.explain(0, method="occlusion").plot().axes[1].images[0].get_clim()

    assert low == -high


def test_a_figure_can_be_dark(run: lab.TrainingRun, report: EvaluationReport):
    """For dark pages, all three of them."""
    figures = [report.plot(dark=True), run.inference_cost((1,)).plot(dark=True), run.explain(0).plot(dark=True)]

    assert all(sum(figure.get_facecolor()[:3]) < 0.3 for figure in figures)


def test_numbers_of_numpy_are_places_too(run: lab.TrainingRun):
    """As argmax and a loop over an array give them."""
    assert run.explain(np.int64(3)).name == run.explain(3).name
