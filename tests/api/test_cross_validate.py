"""`cross_validate`: one run a fold, each judged by what it did not see."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

import bigmodel_lab as lab
from bigmodel_lab.api import _cross_validate
from bigmodel_lab.api._cross_validate import CrossValidation, Fold
from bigmodel_lab.data import from_arrays
from bigmodel_lab.errors import ConfigError, NonFiniteLossError
from bigmodel_lab.runlog import Status
from tests.api.small import at_step, numbers, same, tiny

SETTINGS = {"epochs": 2, "micro_batch_size": 16, "learning_rate": 0.02}


def made(count: int, accuracy: float | None = 0.5) -> CrossValidation:
    """A result of this many folds."""
    return CrossValidation(
        "mlp", 3, tuple(Fold(n, n / 10, accuracy, 20, Path("x.bmlrun")) for n in range(1, count + 1))
    )


def test_every_fold_is_a_run_of_its_own(runs_dir: Path):
    """Named for its fold, in one folder, finished."""
    result = lab.cross_validate(tiny(), numbers(), folds=3, name="trial", **SETTINGS)

    runs = [lab.open_run(fold.path) for fold in result.folds]
    assert [run.name for run in runs] == [f"trial fold {n}/3" for n in (1, 2, 3)]
    assert {(run.status, run.path.parent) for run in runs} == {(Status.FINISHED, runs_dir)}


def test_together_the_folds_hold_out_all_but_the_test_samples():
    """118 samples less 12 for the test."""
    result = lab.cross_validate(tiny(), numbers(), folds=3, **SETTINGS)

    assert sorted(fold.samples for fold in result.folds) == [35, 35, 36]


def test_a_fold_is_judged_by_its_held_out_part():
    """Loss and accuracy are those that its run recorded for validation at the end."""
    fold = lab.cross_validate(tiny(), numbers(), folds=2, **SETTINGS).folds[0]
    run = lab.open_run(fold.path)

    assert fold.loss == pytest.approx(run.last("validation_loss"))
    assert fold.accuracy == pytest.approx(run.last("validation_accuracy"))


def test_every_fold_begins_with_the_weights_that_were_given():
    """The module itself is never trained."""
    model = tiny()
    lab.cross_validate(model, numbers(), folds=2, **SETTINGS)

    assert same(model, tiny())
    assert next(model.parameters()).grad is None


def test_a_cross_validation_repeats():
    """The same seed gives the same numbers on a CPU."""
    first, second = (lab.cross_validate(tiny(), numbers(), folds=2, device="cpu", **SETTINGS) for _ in range(2))

    assert [fold.loss for fold in first.folds] == [fold.loss for fold in second.folds]


def test_a_documented_model_goes_by_its_name():
    """Its own data and defaults are taken."""
    result = lab.cross_validate("mlp", folds=2, max_steps=1)

    assert (result.name, len(result.folds)) == ("mlp", 2)
    assert sum(fold.samples for fold in result.folds) == 1617


def test_stop_ends_it_with_the_folds_that_are_done(monkeypatch: pytest.MonkeyPatch):
    """A stopped fold does not count, and none begins after it."""
    real = _cross_validate.prepare

    def second_stops(*arguments: Any, **named: Any) -> lab.TrainingRun:
        run = real(*arguments, **named)
        if "2/3" in named["name"]:
            at_step(run, 1, run.stop)
        return run

    monkeypatch.setattr(_cross_validate, "prepare", second_stops)
    result = lab.cross_validate(tiny(), numbers(), folds=3, **SETTINGS)

    assert [fold.number for fold in result.folds] == [1]
    assert "1 of 3 folds" in repr(result)


def test_a_loss_that_is_no_number_ends_it():
    """The mean over some of the folds would hide it."""
    with pytest.raises(NonFiniteLossError):
        lab.cross_validate(tiny(), numbers(), folds=2, epochs=2, optimizer="sgd", learning_rate=1e30)


def test_a_wrong_number_of_folds_makes_no_run(runs_dir: Path):
    """It is found before the first."""
    with pytest.raises(ConfigError, match="folds is 1"):
        lab.cross_validate(tiny(), numbers(), folds=1)

    assert not runs_dir.exists()


# the result


def test_the_mean_has_an_interval():
    """Both of loss and accuracy."""
    result = made(3)

    assert result.loss.mean == pytest.approx(fmean([0.1, 0.2, 0.3]))
    assert result.loss.half_width == pytest.approx(4.303 * 0.1 / math.sqrt(3))
    assert result.accuracy.half_width == 0


def test_the_table_has_a_line_for_each_fold_and_the_mean():
    """In text and in HTML."""
    lines = repr(made(3)).splitlines()

    assert [line.split()[0] for line in lines[1:]] == ["fold", "1/3", "2/3", "3/3", "mean"]
    assert lines[-1].split()[1:] == ["0.2000", "±", "0.2484", "0.5000", "±", "0.0000"]
    assert made(3)._repr_html_().count("<tr>") == 5


@pytest.mark.parametrize(("result", "end"), [(made(1), "0.1000    0.5000"), (made(2, None), "–"), (made(0), "–")])
def test_what_is_unknown_is_shown_as_unknown(result: CrossValidation, end: str):
    """One fold has no interval, a regression no accuracy, no fold no mean."""
    assert repr(result).endswith(end)


def test_a_regression_has_a_loss_and_no_accuracy():
    """Its folds are dealt at random."""
    x, _ = numbers()
    result = lab.cross_validate(tiny(), from_arrays((x, x[:, :3]), task="regression"), folds=2, **SETTINGS)

    assert result.accuracy is None
    assert result.loss.mean > 0


@pytest.mark.parametrize("folds", ["3", 2.5, None])
def test_folds_are_a_whole_number(folds: Any):
    """What came and what is allowed are told, for a number and for a word."""
    with pytest.raises(ConfigError, match=r"folds is .*, but must be a whole number from 2 to 106"):
        lab.cross_validate(tiny(), numbers(), folds=folds, **SETTINGS)


def test_folds_lie_in_the_folder_that_is_told_and_are_called_after_the_model(tmp_path: Path):
    """Without a name of one's own."""
    result = lab.cross_validate(tiny(), numbers(), folds=2, runs_dir=tmp_path / "mine", **SETTINGS)

    assert {fold.path.parent for fold in result.folds} == {tmp_path / "mine"}
    assert lab.open_run(result.folds[1].path).name == "Sequential fold 2/2"


def test_a_loss_of_ones_own_judges_the_folds():
    """The one that was trained with, not the cross-entropy."""
    result = lab.cross_validate(
        tiny(), numbers(), folds=2, loss=lambda output, _: output.sum() * 0 + 7, **{**SETTINGS, "epochs": 1}
    )

    assert [fold.loss for fold in result.folds] == [7.0, 7.0]


def test_the_title_tells_how_many_folds_are_missing():
    """A mean over some of them is not read as one over all."""
    assert repr(made(2)).startswith("Cross-validation of mlp: 2 of 3 folds")
