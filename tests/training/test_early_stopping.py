"""Early stopping: after how many epochs, with what reason, and the same in a run that goes on elsewhere."""

from __future__ import annotations

import math

import pytest

from bigmodel_lab.data import from_arrays
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import Status
from bigmodel_lab.training.early_stopping import EarlyStopping
from bigmodel_lab.training.observers import BestEpoch, EpochEnd
from tests.training.fakes import FakeLog, tiny_model


def ends(losses: list[float | None], patience: int) -> int | None:
    """Epoch after which a run with these validation losses ends; None when it makes all."""
    best, stopping = BestEpoch(), EarlyStopping(patience)
    for epoch, loss in enumerate(losses, start=1):
        end = EpochEnd(epoch, epoch * 10, loss, None, best.after(epoch, loss))
        if stopping.epoch_ended(None, end):
            return epoch
    return None


@pytest.mark.parametrize(
    ("losses", "patience", "last"),
    [
        ([3, 2, 1, 0.5], 1, None),
        ([3, 2, 2], 1, 3),
        ([3, 2, 2.5, 1, 1, 1], 2, 6),
        ([1, 2, 3], 3, None),
        ([1, None, None], 2, 3),
        ([None, None], 2, 2),
    ],
)
def test_run_ends_after_epochs_without_a_better_loss(losses, patience, last):
    """Equal is not better, unknown is not better, and each better one begins the count anew."""
    assert ends(losses, patience) == last


def test_reason_names_the_best_epoch():
    """A person reads when the run was at its best, and how long ago."""
    reason = EarlyStopping(3).epoch_ended(None, EpochEnd(7, 70, 0.5, None, best_epoch=4))

    assert reason == "The validation loss was lowest after epoch 4; epochs since then: 3."


def test_reason_without_any_loss():
    """A loss that was never a number has no best epoch."""
    assert "not a number in 2 epochs" in EarlyStopping(2).epoch_ended(None, EpochEnd(2, 20, None, None))


def over_fitting(make, log, **settings):
    """A run whose validation loss rises from the first epoch on, as it learns with a far too large step."""
    return make(log=log, **{"epochs": 30, "learning_rate": 30.0, "optimizer": "sgd", "early_stopping": 2, **settings})


def test_run_ends_early_with_its_reason(make, log):
    """The run is finished, not stopped; the event tells the reason in words and the best epoch."""
    trainer = over_fitting(make, log)

    assert trainer.run() is Status.FINISHED
    (told,) = [data for kind, data in log.events if kind == "ended_early"]
    losses = log.streams["epoch"].column("validation_loss")
    assert len(losses) < 30
    assert told["best_epoch"] == losses.index(min(losses)) + 1 == len(losses) - 2
    assert f"after epoch {told['best_epoch']}" in told["reason"]


def test_run_that_gets_better_makes_all_epochs(make, log):
    """While each epoch is better than those before, nothing ends."""
    make(epochs=4, learning_rate=1e-3, early_stopping=1).run()

    assert log.streams["epoch"].steps == [5, 11, 17, 23]
    assert "ended_early" not in dict(log.events)


def test_early_stopping_needs_validation_samples(make, data):
    """Without validation samples there is nothing to look at; the message says what to do."""
    nothing = (data.train.x[:0], data.train.y[:0])

    with pytest.raises(ConfigError, match=r"early_stopping looks at the validation loss.*validation_fraction=0\.1"):
        make(early_stopping=3, data=from_arrays({"train": data.train, "validation": nothing}))


def test_count_goes_on_in_another_trainer(make):
    """A run that is taken up by another trainer ends after the same epoch as an unbroken one."""
    whole_log, first_log, second_log = FakeLog(), FakeLog(), FakeLog()
    over_fitting(make, whole_log, early_stopping=3).run()
    last = len(whole_log.streams["epoch"].rows)
    first = over_fitting(make, first_log, early_stopping=3)
    first_log.after_step = lambda step: first_log.mailbox.post("stop", "a test") if step == last * 6 - 8 else None
    first.run()
    second = over_fitting(make, second_log, early_stopping=3, model=tiny_model())
    second.load_state(first.state())
    second.run()

    assert len(first_log.streams["epoch"].rows) + len(second_log.streams["epoch"].rows) == last


def test_best_epoch_ignores_what_is_unknown():
    """An epoch without a loss is never the best, and none is known before the first."""
    best = BestEpoch()

    assert best.after(1, None) is None
    assert best.after(2, math.inf) == 2
