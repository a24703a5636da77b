"""Every documented model trains in the real loop, and a stopped training goes on to the bit."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from bigmodel_lab.models import MODELS, ModelCard
from bigmodel_lab.runlog import RunLog, RunReader, Status
from bigmodel_lab.training import TrainConfig, Trainer, choose_device
from bigmodel_lab.training.recorder import STEP_KEYS
from tests.models.samples import few_samples, model_for, names

STEPS, STOP = 4, 2  # three steps of 8 are an epoch of 24 samples: one run stops within it, both go beyond


@dataclass(frozen=True)
class Run:
    """A training that has ended."""

    trainer: Trainer
    file: Path

    @property
    def losses(self) -> list[float]:
        """The loss of every step, from the run file."""
        return self.column("loss")

    def column(self, key: str) -> list[float]:
        """A metric of every step, from the run file."""
        return RunReader(self.file).read("step").values[:, STEP_KEYS.index(key)].tolist()


@dataclass(frozen=True)
class Runs:
    """One model's training without a break, and the same in two parts."""

    card: ModelCard
    whole: Run
    first: Run
    resumed: Run


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, and no waiting for a second core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=names())
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Each member of the family in turn, trained three times."""
    card = MODELS.get(request.param)
    folder = tmp_path_factory.mktemp(card.name)
    whole = train(card, folder, STEPS)
    first = train(card, folder, STOP)
    return Runs(card, whole, first, train(card, folder, STEPS, saved(first.trainer)))


def train(card: ModelCard, folder: Path, max_steps: int, state: dict[str, Any] | None = None) -> Run:
    """Train on a few samples with the documented settings, from a state if there is one."""
    data = few_samples(card)
    settings = {"max_steps": max_steps, "micro_batch_size": 8, "epochs": STEPS}
    config = TrainConfig.from_settings(settings, card.defaults)
    log = RunLog.create(card.name, folder=folder)
    cpu = choose_device("cpu")
    trainer = Trainer(model_for(card, data), data, config, log, device=cpu, documented_loss=card.loss)
    if state is not None:
        trainer.load_state(state)
    status = trainer.run()
    log.close(status)
    assert status is Status.FINISHED
    return Run(trainer, log.path)


def saved(trainer: Trainer) -> dict[str, Any]:
    """The state as another process would read it from a file."""
    file = io.BytesIO()
    torch.save(trainer.state(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def equal(one: Any, other: Any) -> bool:
    """Two states are the same, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_losses_are_finite(runs: Runs):
    """Each step has its loss in the run file, and it is a number."""
    assert len(runs.whole.losses) == STEPS
    assert all(map(math.isfinite, runs.whole.losses))


def test_resumed_weights_are_those_of_the_unbroken_run(runs: Runs):
    """Two steps, a state through a file, two steps more: the weights of four steps, to the bit."""
    assert equal(runs.resumed.trainer.model.state_dict(), runs.whole.trainer.model.state_dict())


def test_resumed_optimizer_is_that_of_the_unbroken_run(runs: Runs):
    """What the optimizer remembers is the same to the bit, so the two would go on alike."""
    assert equal(runs.resumed.trainer.optimizer.state_dict(), runs.whole.trainer.optimizer.state_dict())


def test_resumed_losses_are_those_of_the_unbroken_run(runs: Runs):
    """The steps before and after the break have the losses of the unbroken run."""
    assert runs.first.losses + runs.resumed.losses == runs.whole.losses


def test_the_steps_after_the_break_matter(runs: Runs):
    """Weights move between the second step and the fourth: the three tests before could fail."""
    assert not equal(runs.first.trainer.model.state_dict(), runs.whole.trainer.model.state_dict())


def test_accuracy_is_known_or_has_a_reason(runs: Runs):
    """There is an accuracy where classes or tokens are learned, else the file says why not."""
    learns_classes = runs.whole.trainer.data.task in {"classification", "next_token"}
    known = not any(map(math.isnan, runs.whole.column("accuracy")))

    assert known == learns_classes
    assert ("accuracy" in RunReader(runs.whole.file).unknown()) == (not learns_classes)
