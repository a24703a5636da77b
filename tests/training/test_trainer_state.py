"""Exact resume: stop at any step, go on in another trainer, and end with the very same bits."""

from __future__ import annotations

import io
import random

import pytest
import torch
from torch import nn

from bigmodel_lab.data import from_arrays
from bigmodel_lab.runlog import Status
from bigmodel_lab.training import TrainConfig, Trainer
from tests.training.fakes import CPU, FakeLog

EVERYTHING = {"schedule": "cosine", "warmup_steps": 3, "augment": {"rotate": 20, "scale": 0.2, "crop": 1}}
RUNS = {
    "sgd": {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}},
    "adam": {"optimizer": "adam"},
    "adam with dropout, schedule, augmentation": {"optimizer": "adam", "dropout": 0.4, **EVERYTHING},
    "momentum, one cycle, l1": {
        "optimizer": "sgd",
        "optimizer_options": {"momentum": 0.9},
        "schedule": "one_cycle",
        "l1": 1e-4,
    },
    "plateau": {"optimizer": "sgd", "schedule": "plateau", "schedule_options": {"patience": 0, "threshold": 0.5}},
    "lbfgs": {"optimizer": "lbfgs", "learning_rate": 0.3, "optimizer_options": {"max_iter": 3, "history_size": 4}},
    "accumulated": {"optimizer": "rmsprop", "micro_batch_size": 5, "gradient_accumulation_steps": 3, "l2": 1e-3},
    # two epochs of patience: on no machine can it end before the last of STOPS
    "early stopping": {"optimizer": "adam", "learning_rate": 0.2, "early_stopping": 2, "epochs": 6},
    "frozen": {"optimizer": "nadam", "freeze": ("1",), **EVERYTHING},
}
STOPS = random.Random(20).sample(range(15), 3)  # of 18 steps; drawn once, so that a failure can be repeated


def images():
    """100 grey images of 8×8 in four classes: 81 to train, so that the last of 6 batches has one sample."""
    numbers = torch.Generator().manual_seed(1)
    y = torch.arange(100) % 4
    x = torch.rand(100, 1, 8, 8, generator=numbers)
    x[torch.arange(100), 0, y * 2, :] += 1.0
    return from_arrays((x, y))


def network() -> nn.Module:
    """A convolution, a batch normalization, dropout, a linear layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 4)
        )


def trainer(log: FakeLog, observers=(), **settings) -> Trainer:
    """A trainer over the images; nothing in it is shared with another."""
    config = TrainConfig(**{"epochs": 3, "micro_batch_size": 16, "learning_rate": 0.02, **settings})
    return Trainer(network(), images(), config, log, device=CPU, observers=observers)


def through_a_file(state):
    """What another process would read."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def stopped(at: int, **settings) -> tuple[Trainer, FakeLog]:
    """A run that was stopped after this step."""
    log = FakeLog()
    log.after_step = lambda step: log.mailbox.post("stop", "a test") if step == at else None
    made = trainer(log, **settings)
    assert made.run() is Status.STOPPED
    return made, log


def same(first, second) -> bool:
    """Two states agree in every bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)  # in which NaN equals itself


@pytest.fixture(scope="module", params=RUNS)
def unbroken(request):
    """Settings, and the state and the log of a run that was never stopped."""
    settings, log = RUNS[request.param], FakeLog()
    whole = trainer(log, **settings)
    whole.run()
    return settings, whole.state(), log


@pytest.mark.parametrize("stop", STOPS)
def test_run_goes_on_to_the_bit_in_another_trainer(unbroken, stop):
    """Weights, optimizer, schedule, random numbers and every recorded loss are those of the unbroken run."""
    settings, expected, whole_log = unbroken
    first, first_log = stopped(stop, **settings)
    log = FakeLog()
    second = trainer(log, **settings)
    torch.rand(17)  # what the person draws meanwhile
    second.load_state(through_a_file(first.state()))
    second.run()

    assert same(second.state(), expected)
    for name in whole_log.streams:
        key = whole_log.streams[name].keys[0]
        found = first_log.streams[name].column(key) + log.streams[name].column(key)
        assert found == whole_log.streams[name].column(key)


def test_state_holds_tensors_and_plain_values_only(unbroken):
    """``torch.load(weights_only=True)`` reads it, so that a checkpoint of a stranger can do no harm."""
    assert same(through_a_file(unbroken[1]), unbroken[1])


def test_state_of_a_new_trainer_makes_a_whole_run(unbroken):
    """A state from before the first step is no special case."""
    settings, expected, _ = unbroken
    again = trainer(FakeLog(), **settings)
    again.load_state(through_a_file(trainer(FakeLog(), **settings).state()))
    again.run()

    assert same(again.state(), expected)


class Counting:
    """An observer with a memory."""

    def __init__(self):
        self.epochs = 0

    def epoch_ended(self, _trainer, _end):
        """Count."""
        self.epochs += 1

    def state(self):
        """How many there were."""
        return {"epochs": self.epochs}

    def load_state(self, state):
        """Go on counting."""
        self.epochs = state["epochs"]


class Forgetful:
    """An observer without a memory, who saw where the run stood."""

    def __init__(self):
        self.seen = []

    def epoch_ended(self, trainer, end):
        """Look."""
        self.seen.append((end.epoch, end.steps_made, end.best_epoch, trainer.state()["best_epoch"][0]))


def test_observers_remember():
    """What an observer knows goes into the state and comes back; one without a memory is left in peace."""
    first = trainer(FakeLog(), observers=(Forgetful(), Counting()), epochs=2)
    first.run()
    counting = Counting()
    second = trainer(FakeLog(), observers=(counting, Forgetful()))
    second.load_state(through_a_file(first.state()))
    second.run()

    assert counting.epochs == 3


def test_state_without_a_new_observer_can_be_loaded():
    """An observer that was not there before begins anew."""
    counting = Counting()
    second = trainer(FakeLog(), observers=(counting,))
    second.load_state(through_a_file(trainer(FakeLog()).state()))

    assert counting.epochs == 0


def test_observer_sees_the_best_epoch_in_the_state():
    """A checkpoint that an observer writes knows the epoch that has just ended."""
    observer = Forgetful()
    trainer(FakeLog(), observers=(observer,), learning_rate=1e-3).run()

    assert [(epoch, steps) for epoch, steps, _, _ in observer.seen] == [(1, 6), (2, 12), (3, 18)]
    assert all(told == kept for _, _, told, kept in observer.seen)


def test_early_stopping_is_asked_first():
    """Its reason is the one that is recorded, also where an observer of the person's own has another."""

    class Impatient:
        def epoch_ended(self, _trainer, end):
            return "enough" if end.epoch == 2 else None

    log = FakeLog()
    trainer(log, observers=(Impatient(),), early_stopping=5).run()

    assert dict(log.events)["ended_early"]["reason"] == "enough"
    assert log.streams["epoch"].steps == [5, 11]
