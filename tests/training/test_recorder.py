"""From numbers to rows: means over samples, unknown values, and a loss that is no number."""

from __future__ import annotations

import math

import pytest

from bigmodel_lab.errors import NonFiniteLossError
from bigmodel_lab.training.recorder import Recorder
from tests.training.fakes import FakeLog


def last(log: FakeLog, stream: str) -> dict[str, float]:
    """The newest row by key."""
    found = log.streams[stream]
    return dict(zip(found.keys, found.rows[-1][2], strict=True))


def test_an_epoch_weighs_its_steps_by_their_samples(log: FakeLog):
    """Three samples with loss 1 and one with loss 5: the mean is 2, not 3."""
    recorder = Recorder(log)
    recorder.step(0, 10, 10, 3, 1.0, 3)
    recorder.step(1, 20, 10, 1, 5.0, 0)
    recorder.epoch(1, 30, 0, math.nan, math.nan)

    assert (last(log, "epoch")["loss"], last(log, "epoch")["accuracy"]) == (2.0, 0.75)


def test_an_epoch_begins_at_nothing(log: FakeLog):
    """The second epoch knows nothing of the first."""
    recorder = Recorder(log)
    for epoch, loss in enumerate((8.0, 2.0)):
        recorder.step(epoch, 10, 10, 4, loss, 4)
        recorder.epoch(epoch, 20, 0, math.nan, math.nan)

    assert last(log, "epoch")["loss"] == 2.0


def test_an_epoch_without_a_step_is_unknown(log: FakeLog):
    """As when a run goes on exactly at its end: NaN, no division by zero."""
    Recorder(log).epoch(0, 10, 2, 0.5, 1)

    assert math.isnan(last(log, "epoch")["loss"])
    assert last(log, "epoch")["validation_accuracy"] == 0.5


def test_sums_carry_an_epoch_to_another_recorder(log: FakeLog):
    """The mean of an epoch that was cut in two is that of the whole."""
    first, second = Recorder(log), Recorder(FakeLog())
    first.step(0, 10, 10, 3, 1.0, 3)
    second = Recorder(log)
    second.sums = first.sums
    second.step(1, 20, 10, 1, 5.0, 0)
    second.epoch(1, 30, 0, math.nan, math.nan)

    assert last(log, "epoch")["loss"] == 2.0


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_written_then_told(log: FakeLog, loss: float):
    """The chart shows where it happened; the error knows the step and what to try."""
    with pytest.raises(NonFiniteLossError, match=r"step 7 is .*smaller learning rate") as told:
        Recorder(log).step(7, 10, 10, 4, loss, 0)

    assert told.value.step == 7
    assert log.streams["step"].steps == [7]


def test_an_accuracy_that_is_unknown_does_not_end_a_run(log: FakeLog):
    """Only the loss must be a number."""
    Recorder(log).step(0, 10, 10, 4, 1.0, math.nan)

    assert math.isnan(last(log, "step")["accuracy"])
