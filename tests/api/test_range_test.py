"""`find_learning_rate`: a short run that leaves everything as it was."""

from __future__ import annotations

import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.runlog import Status
from tests.api.small import numbers, same, tiny


def risen(model: object = None, **settings: object) -> lab.api._range_test.RangeTest:
    """A short test of the tiny model."""
    return lab.find_learning_rate(model or tiny(), numbers(), **{"low": 1e-5, "high": 10.0, "steps": 60, **settings})


def test_it_suggests_a_rate_that_learns():
    """Between the ends; a run with it ends with a smaller loss than one with the lowest."""
    rate = risen().suggestion
    good, low = (lab.fit(tiny(), numbers(), epochs=5, learning_rate=r).last("validation_loss") for r in (rate, 1e-5))

    assert 1e-5 < rate < 10
    assert good < low


def test_the_model_stays_as_it_was_to_the_bit():
    """Weights, batch statistics, gradients and modes of the module that was given."""
    model = tiny()
    model[3].eval()
    risen(model)

    assert same(model, tiny())
    assert all(p.grad is None for p in model.parameters())
    assert [part.training for part in model] == [True, True, True, False, True]


def test_random_numbers_stay_as_they_were():
    """What the person draws next does not depend on the test."""
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    risen()

    assert torch.equal(torch.rand(3), expected)


def test_a_training_afterwards_is_the_same_as_without():
    """The test leaves no trace in a later run."""
    model = tiny()
    risen(model)

    assert same(lab.fit(model, numbers(), epochs=2).model, lab.fit(tiny(), numbers(), epochs=2).model)


def test_it_is_recorded_as_a_run():
    """With its losses and rates, in the folder of all runs, and without validation."""
    test = risen()
    run = lab.open_run(test.run.path)

    assert (run.name, run.status) == ("Sequential learning-rate range test", Status.FINISHED)
    assert run.series("learning_rate").value[: len(test.curve.rates)] == pytest.approx(test.curve.rates)
    assert run.last("validation_loss") is None


def test_it_shows_each_step_only_once_when_it_ends_early():
    """Rates and losses belong together, also where the loss has exploded."""
    test = risen(low=1e-4, high=1e6, steps=80, optimizer="sgd")

    assert len(test.curve.rates) == len(test.curve.losses) < 80


def test_a_schedule_and_the_length_of_a_run_do_not_count():
    """The test has its own."""
    test = risen(schedule="cosine", warmup_steps=5, epochs=1, max_steps=3, checkpoint="best", early_stopping=1)

    assert len(test.run.series("loss").value) > 20


def test_a_documented_model_goes_by_its_name():
    """On its own data."""
    assert lab.find_learning_rate("mlp", steps=20, high=1e-2).run.header["model"] == "mlp"


def test_the_plot_marks_the_suggestion():
    """Loss, smoothed loss and a line at the rate, over a logarithmic axis."""
    test = risen()
    axes = test.plot(dark=True).axes[0]

    assert axes.get_xscale() == "log"
    assert axes.lines[2].get_xdata()[0] == test.suggestion
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["loss", "smoothed loss"]


def test_where_nothing_falls_it_says_so():
    """No suggestion, its reason, and a plot without the line."""
    test = risen(low=1e-30, high=1e-29, steps=20, optimizer="sgd", loss=lambda output, _: output.sum() * 0 + 1)

    assert test.suggestion is None
    assert "fell at no learning rate" in repr(test)
    assert len(test.plot().axes[0].lines) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 0.0},
        {"low": 2.0, "high": 1.0},
        {"low": float("nan")},
        {"high": float("inf")},
        {"low": "1e-6"},
        {"steps": 5},
        {"steps": 30.5},
    ],
)
def test_rates_and_steps_without_a_test_are_refused(wrong: dict):
    """The error says what is allowed."""
    with pytest.raises(ConfigError, match=r"low < high|whole number from 20"):
        risen(**wrong)


def test_an_unknown_setting_is_named():
    """As everywhere."""
    with pytest.raises(UnknownNameError, match="momentums"):
        risen(momentums=3)


def test_a_test_may_be_longer_than_the_data():
    """More steps than an epoch has: the samples come again."""
    test = risen(steps=25, micro_batch_size=64)

    assert len(test.curve.rates) > test.run.header["steps_per_epoch"]


def test_a_test_is_called_after_its_model_and_what_it_is():
    """Or as it is told, in the folder that is told."""
    assert risen(steps=20).run.name == "Sequential learning-rate range test"
    assert risen(steps=20, name="rates").run.name == "rates"


def test_the_text_of_a_test_tells_rate_and_reason():
    """With two digits, as nobody needs more."""
    test = risen(steps=40)

    assert f"of {len(test.curve.rates)} steps: suggested learning rate {test.suggestion:.2g}. There" in repr(test)
