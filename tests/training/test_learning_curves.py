"""Over-fitting in numbers and in words."""

from __future__ import annotations

import numpy as np
import pytest

from bigmodel_lab.runlog import RunLog, RunReader, Status
from bigmodel_lab.training.learning_curves import LearningCurves

UNKNOWN = float("nan")


def curves(loss: list[float], validation: list[float], accuracy: list[float] | None = None) -> LearningCurves:
    """Curves of these losses; accuracies are 0.1 better in training than in validation."""
    better = np.array(accuracy or [UNKNOWN] * len(loss))
    return LearningCurves(np.array(loss), np.array(validation), better, better - 0.1)


def test_the_gap_is_training_minus_validation():
    """At the last epoch: 0.2 - 0.5, and 0.9 - 0.8."""
    last = curves([0.6, 0.2], [0.6, 0.5], [0.7, 0.9]).last

    assert (last.epoch, last.loss_gap, last.accuracy_gap) == (2, pytest.approx(-0.3), pytest.approx(0.1))


def test_the_best_epoch_has_the_lowest_validation_loss():
    """Epochs count from 1; an unknown loss is not the lowest."""
    assert curves([1, 1, 1, 1], [UNKNOWN, 0.5, 0.4, 0.6]).best.epoch == 3


def test_rising_validation_loss_is_over_fitting():
    """The verdict says since when, how far, and what to do."""
    verdict = curves([1.0, 0.5, 0.1], [1.0, 0.8, 1.2]).verdict()

    assert "over-fits" in verdict
    assert "since epoch 2" in verdict
    assert "50 %" in verdict
    assert "early_stopping" in verdict


def test_a_training_that_still_gets_better_shows_no_sign():
    """The best epoch is the last."""
    assert "No sign" in curves([1.0, 0.5], [1.0, 0.6]).verdict()


def test_a_level_validation_loss_is_not_called_over_fitting():
    """One per cent above the best is noise."""
    verdict = curves([1.0, 0.5, 0.4], [1.0, 0.600, 0.606]).verdict()

    assert "over-fits" not in verdict
    assert "epoch 2" in verdict


def test_a_run_that_diverges_is_not_called_over_fitting():
    """Where the training loss rises too, the model does not learn by heart."""
    assert "over-fits" not in curves([1.0, 0.5, 2.0], [1.0, 0.6, 2.5]).verdict()


def test_one_epoch_says_nothing():
    """A line needs two points."""
    assert "cannot be said" in curves([1.0], [1.0]).verdict()


def test_without_validation_nothing_is_known():
    """Neither gap nor verdict."""
    found = curves([1.0, 0.5], [UNKNOWN, UNKNOWN])

    assert (found.best, found.last, found.table().rows) == (None, None, ())
    assert "no validation samples" in found.verdict()


def test_the_table_shows_both_epochs():
    """Best and last, each with both numbers and their difference."""
    table = curves([1.0, 0.5, 0.1], [1.0, 0.8, 1.2], [0.5, 0.8, 0.99]).table()

    assert table.heads[1:] == ("best epoch (2)", "last epoch (3)")
    assert table.rows[0][2] == "0.1000 − 1.2000 = -1.1000"
    assert table.rows[1][1] == "80.0 % − 70.0 % = +10.0 points"


def test_the_same_epoch_is_shown_once():
    """When the last is the best there is one column, and no row of what is unknown."""
    table = curves([1.0, 0.5], [1.0, 0.6]).table()

    assert table.heads == ("", "last epoch (2)")
    assert len(table.rows) == 1


def test_curves_come_from_the_record_of_a_run(tmp_path):
    """A run file gives what the loop wrote, by name and not by position."""
    log = RunLog.create("some", folder=tmp_path)
    stream = log.stream("epoch", axis="step", keys=("validation_loss", "validation_accuracy", "loss", "accuracy"))
    stream.append(9, 1, (0.4, 0.7, 0.3, 0.8))
    log.close(Status.FINISHED)
    found = LearningCurves.of(RunReader(log.path))

    assert (found.loss[0], found.validation_loss[0]) == (0.3, 0.4)
    assert (found.accuracy[0], found.validation_accuracy[0]) == (0.8, 0.7)


def test_a_run_without_an_epoch_has_empty_curves(tmp_path):
    """Stopped at once: nothing to draw, no error."""
    log = RunLog.create("some", folder=tmp_path)
    log.close(Status.STOPPED)

    assert len(LearningCurves.of(RunReader(log.path)).loss) == 0


@pytest.mark.parametrize(
    ("loss", "validation", "said"),
    [
        ([1.0, 0.9, 0.8], [1.0, 0.9, 0.8], "No sign"),
        ([1.0, 0.5, 0.2], [1.0, 0.6, 0.9], "over-fits"),
        ([1.0, 0.5, 0.2], [0.0, 0.6, 0.9], "epoch 1"),
        ([1.0, 0.5, 0.2], [-2.0, -3.0, -1.0], "epoch 2"),
    ],
    ids=["falling", "rising", "zero", "negative"],
)
def test_every_course_has_its_verdict(loss: list[float], validation: list[float], said: str):
    """Also losses of one's own, which may be 0 or below, where a share of them means nothing."""
    assert said in curves(loss, validation).verdict()


def test_a_verdict_is_a_sentence():
    """It ends with a full stop and says something about over-fitting or epochs."""
    for validation in ([1.0, 0.5], [0.5, 1.0], [UNKNOWN, UNKNOWN]):
        assert curves([1.0, 0.5], validation).verdict().endswith(".")


def test_a_gap_with_an_unknown_side_is_unknown():
    """Training without accuracy has no gap of accuracy."""
    gap = curves([1.0, 0.5], [1.0, 0.6]).last

    assert np.isnan(gap.accuracy_gap)
    assert not np.isnan(gap.loss_gap)
