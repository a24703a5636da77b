"""Checkpoints while a run goes on: which are kept, on request, and that a run goes on from them to the bit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bigmodel_lab.data import Data
from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training import Checkpoints, Recipe, TrainConfig, Trainer, find_checkpoint, restore
from bigmodel_lab.training.checkpoint import checkpoints_folder, need_safetensors
from tests.training.fakes import CPU, tiny_model

RECIPE = Recipe(None, None, own_loss=False)


@pytest.fixture
def real_log(tmp_path: Path) -> Iterator[RunLog]:
    """A run log in a file."""
    log = RunLog.create("example", tmp_path)
    yield log
    log.close()


def all_equal(one: Trainer, other: Trainer) -> bool:
    """Both models have the same weights, bit for bit."""
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def names(log: RunLog, kind: str) -> list[str]:
    """Which checkpoints the log tells of."""
    return [event.data["checkpoint"] for event in log.events() if event.kind == kind]


def observed(make: Callable[..., Trainer], log: RunLog, keep: str, **settings: object) -> Trainer:
    """A trainer that was run to its end, with checkpoints beside the log."""
    kept = Checkpoints(log, RECIPE, keep)
    trainer = make(log=log, observers=kept.observers(()), **settings)
    kept.attach(trainer, log)
    trainer.run()
    return trainer


@pytest.fixture
def make(data: Data) -> Callable[..., Trainer]:
    """A trainer of the tiny model that records into a real log."""

    def trainer(log: RunLog, data: Data = data, observers: tuple = (), **settings: object) -> Trainer:
        config = TrainConfig(**{"epochs": 3, "micro_batch_size": 16, "learning_rate": 0.05, **settings})
        return Trainer(tiny_model(), data, config, log, device=CPU, observers=observers)

    return trainer


# keeping checkpoints while a run goes on


def test_best_is_the_epoch_with_the_lowest_validation_loss(make: Callable[..., Trainer], real_log: RunLog):
    """Its facts name that loss and the steps made."""
    observed(make, real_log, "best", epochs=6, learning_rate=0.5)

    losses = real_log.read("epoch").values[:, 0].tolist()
    best = find_checkpoint(real_log.path)
    assert best.facts["validation_loss"] == min(losses)
    assert best.facts["epoch"] == losses.index(min(losses)) + 1
    assert [folder.name for folder in checkpoints_folder(real_log.path).iterdir()] == ["best"]


def test_without_validation_best_is_judged_by_the_train_loss(
    make: Callable[..., Trainer], real_log: RunLog, data: Data
):
    """The mean loss of an epoch's steps takes the place of the validation loss."""
    nothing = data.validation.select(torch.tensor([], dtype=torch.int64))
    observed(make, real_log, "best", data=replace(data, validation=nothing))

    facts = find_checkpoint(real_log.path).facts
    assert facts["validation_loss"] is None
    assert facts["judged_loss"] == real_log.read("epoch").values[-1, 2]


def test_every_epoch_keeps_the_last_and_the_best(make: Callable[..., Trainer], real_log: RunLog):
    """Each epoch replaces ``last``; the log tells of each."""
    trainer = observed(make, real_log, "every_epoch")

    assert names(real_log, "checkpoint").count("last") == 3
    assert find_checkpoint(real_log.path, "last").step == trainer.steps_made
    assert find_checkpoint(real_log.path, "best").step > 0


def test_off_keeps_nothing(make: Callable[..., Trainer], real_log: RunLog):
    """No folder is made."""
    observed(make, real_log, "off")

    assert not checkpoints_folder(real_log.path).exists()


def test_a_worse_epoch_of_a_later_session_does_not_replace_the_best(make: Callable[..., Trainer], real_log: RunLog):
    """What is on disk counts when a run goes on."""
    observed(make, real_log, "best", epochs=6)
    before = find_checkpoint(real_log.path).facts
    observed(make, real_log, "best", epochs=1)

    assert find_checkpoint(real_log.path).facts == before


def test_a_full_disk_is_an_event_and_the_training_goes_on(
    make: Callable[..., Trainer], real_log: RunLog, monkeypatch: pytest.MonkeyPatch
):
    """No checkpoint is worth a run."""

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    trainer = observed(make, real_log, "every_epoch")

    assert trainer.steps_made == trainer.total_steps
    assert names(real_log, "checkpoint_failed") == ["best", "last"] * 3


def test_without_safetensors_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch, real_log: RunLog):
    """Before the first step, where something is to be kept."""
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        Checkpoints(real_log, RECIPE, "best")
    with pytest.raises(MissingPackageError):
        need_safetensors()


def test_a_run_that_was_stopped_keeps_its_last_state(make: Callable[..., Trainer], real_log: RunLog):
    """Where checkpoints are kept at all."""
    trainer = make(log=real_log)
    Checkpoints(real_log, RECIPE, "off").stopped(trainer)
    assert not checkpoints_folder(real_log.path).exists()

    Checkpoints(real_log, RECIPE, "best").stopped(trainer)
    assert find_checkpoint(real_log.path, "last").step == 0


def test_the_facts_tell_how_to_make_the_run_again(make: Callable[..., Trainer], real_log: RunLog):
    """Run, model, data, settings and versions, all as plain values."""
    trainer = make(log=real_log, learning_rate=0.25)
    facts = Checkpoints(real_log, Recipe("mlp", "digits", own_loss=True), "off").write(trainer, "last").facts

    assert facts["run_id"] == real_log.run_id
    assert facts["recipe"] == {"model": "mlp", "data": "digits", "own_loss": True}
    assert facts["config"]["learning_rate"] == 0.25
    assert facts["data"]["samples"] == {"train": 81, "validation": 9, "test": 10}
    assert (facts["torch"], facts["steps_per_epoch"]) == (torch.__version__, 6)


def test_it_observes_only_where_something_is_kept(real_log: RunLog):
    """Behind the observers that are there already."""
    other = object()

    assert Checkpoints(real_log, RECIPE, "off").observers((other,)) == (other,)
    assert len(Checkpoints(real_log, RECIPE, "best").observers((other,))) == 2


# the command


def test_the_command_writes_the_last_state_at_the_next_step(make: Callable[..., Trainer], real_log: RunLog):
    """It is obeyed before the first step that follows."""
    real_log.mailbox.post("checkpoint", "api")
    trainer = observed(make, real_log, "off", max_steps=4)

    assert find_checkpoint(real_log.path).step == 0
    assert trainer.steps_made == 4


def test_the_command_is_obeyed_while_the_run_is_paused(make: Callable[..., Trainer], real_log: RunLog):
    """A paused run stays paused, and writes."""
    for name in ("pause", "checkpoint"):
        real_log.mailbox.post(name, "api")
    real_log.mailbox.call_soon(lambda: None)
    trainer = make(log=real_log, max_steps=2)
    kept = Checkpoints(real_log, RECIPE, "off")
    kept.attach(trainer, real_log)
    answer = real_log.mailbox.answers["checkpoint"]
    real_log.mailbox.answers["checkpoint"] = lambda command: (answer(command), real_log.mailbox.post("resume", "api"))
    trainer.run()

    assert names(real_log, "checkpoint") == ["last"]
    assert trainer.steps_made == 2


def test_without_checkpoints_the_command_is_ignored(make: Callable[..., Trainer], real_log: RunLog):
    """As every command that nobody answers, with an event."""
    real_log.mailbox.post("checkpoint", "api")
    make(log=real_log, max_steps=1).run()

    assert [event.data["name"] for event in real_log.events() if event.kind == "ignored"] == ["checkpoint"]


# going on


def stop_after(trainer: Trainer, log: RunLog, step: int) -> None:
    """Have the trainer stop when it has made this many steps."""

    def look() -> None:
        if trainer.steps_made == step:
            log.mailbox.post("stop", "test")
        else:
            log.mailbox.call_soon(look)

    log.mailbox.call_soon(look)


def interrupted(make: Callable[..., Trainer], folder: Path, step: int, **settings: Any) -> Trainer:
    """A trainer that went on in a new one after this many steps, from a checkpoint on disk, and made the rest."""
    first_log, second_log = (RunLog.create(name, folder) for name in ("first", "second"))
    first = make(log=first_log, **settings)
    stop_after(first, first_log, step)
    first.run()
    written = Checkpoints(first_log, RECIPE, "off").write(first, "last")
    assert written.step == step < first.total_steps
    second = make(log=second_log, **settings)
    restore(second, written, written.training())
    second.run()
    for log in (first_log, second_log):
        log.close()
    return second


@pytest.mark.parametrize("step", [1, 6, 11])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9, "nesterov": True}, "schedule": "cosine"},
        {"optimizer": "adamw", "optimizer_options": {"amsgrad": True}, "warmup_steps": 8},
        {"optimizer": "rmsprop", "schedule": "plateau", "schedule_options": {"patience": 0}},
        {"optimizer": "nadam", "micro_batch_size": 8, "gradient_accumulation_steps": 2, "dropout": 0.5, "l1": 1e-3},
    ],
    ids=["adam", "sgd", "adamw", "rmsprop", "nadam"],
)
def test_a_restored_trainer_goes_on_to_the_bit(
    make: Callable[..., Trainer], real_log: RunLog, tmp_path: Path, step: int, settings: dict[str, Any]
):
    """Weights, dropout, learning rate and order go on from the middle of an epoch, as if nothing had happened."""
    whole = make(log=real_log, **settings)
    whole.run()

    assert all_equal(whole, interrupted(make, tmp_path, step, **settings))


@examples(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.integers(1, 17), seed=st.integers(0, 2**31))
def test_at_whichever_step_it_was_interrupted(make: Callable[..., Trainer], tmp_path: Path, step: int, seed: int):
    """A random step, a random seed: the same weights and the same random numbers at the end."""
    log = RunLog.create("whole", tmp_path)
    whole = make(log=log, seed=seed)
    whole.run()
    log.close()
    second = interrupted(make, tmp_path, step, seed=seed)

    assert all_equal(whole, second)
    assert torch.equal(whole.state()["randomness"]["cpu"], second.state()["randomness"]["cpu"])


def test_early_stopping_remembers_what_was_best(make: Callable[..., Trainer], real_log: RunLog, tmp_path: Path):
    """A run that goes on ends at the epoch at which it would have ended."""
    settings = {"epochs": 30, "learning_rate": 0.8, "early_stopping": 2}
    whole = make(log=real_log, **settings)
    whole.run()

    assert interrupted(make, tmp_path, 7, **settings).steps_made == whole.steps_made < 30 * whole.steps_per_epoch


def test_checkpoints_change_nothing_of_the_training(make: Callable[..., Trainer], real_log: RunLog, tmp_path: Path):
    """A run that keeps them ends with the weights of one that does not."""
    plain = make(log=real_log)
    plain.run()
    log = RunLog.create("keeping", tmp_path)
    kept = observed(make, log, "every_epoch")
    log.close()

    assert all_equal(plain, kept)


def test_random_numbers_of_a_device_that_is_not_here_are_left_out(make: Callable[..., Trainer], real_log: RunLog):
    """A checkpoint of a GPU goes on on a CPU, with the CPU's random numbers; its loss scale is not needed there."""
    trainer = make(log=real_log)
    written = Checkpoints(real_log, RECIPE, "off").write(trainer, "last")
    saved = written.training()
    saved["randomness"]["cuda"] = torch.zeros(16, dtype=torch.uint8)
    saved["arithmetic"] = {"scale": 1024.0}
    restore(trainer, written, saved)

    assert list(trainer.state()["randomness"]) == ["cpu"]


def some_validation_is_no_number(data: Data) -> Data:
    """Data whose validation samples hold a NaN, so that the validation loss is one."""
    x = data.validation.x.clone()
    x[0, 0] = float("nan")
    return replace(data, validation=replace(data.validation, x=x))


def test_a_validation_loss_of_nan_is_never_the_best(make: Callable[..., Trainer], real_log: RunLog, data: Data):
    """The loss of the training is another kind and does not stand in for it."""
    observed(make, real_log, "best", data=some_validation_is_no_number(data))

    assert names(real_log, "checkpoint") == []


def test_a_validation_loss_of_nan_still_leaves_the_last(make: Callable[..., Trainer], real_log: RunLog, data: Data):
    """Every epoch is kept; what it was judged by is unknown, not NaN, which JSON has not."""
    observed(make, real_log, "every_epoch", data=some_validation_is_no_number(data))

    assert names(real_log, "checkpoint") == ["last"] * 3
    assert find_checkpoint(real_log.path).facts["judged_loss"] is None
