"""Runs that meet the end of their memory: what is put back, what is recorded, and how they go on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.recovery import OutOfMemoryFacts, Raise, Shrink
from tests.training.changed_runs import same_bits
from tests.training.fakes import FakeLog
from tests.training.small_card import MIB, Wide, run_on, small_gpu, trainer_on

NOTHING_KNOWN = OutOfMemoryFacts("backward", 0, None, None, None, None)


class Run:
    """Settings that can be changed."""

    def __init__(self, **settings: object) -> None:
        self.config = TrainConfig(**settings)  # type: ignore[arg-type]

    def change(self, config: TrainConfig) -> None:
        """Take them."""
        self.config = config


class StateTooLarge(torch.optim.SGD):
    """An optimizer that changes its weights and then asks for more than there is, once."""

    failures = 0

    def step(self, *_: object) -> None:  # type: ignore[override]
        """Half a step, then an error."""
        super().step()  # type: ignore[call-arg]
        if type(self).failures:
            type(self).failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_without_a_recovery_the_error_is_raised() -> None:
    """The run has failed."""
    with pytest.raises(torch.OutOfMemoryError):
        run_on(60, None)


def test_shrinking_makes_the_same_steps() -> None:
    """All three of the epoch, with the effective batch unchanged."""
    trainer, _ = run_on(60, Shrink())

    assert (trainer.steps_made, trainer.config.effective_batch_size) == (3, 128)
    assert trainer.config.micro_batch_size < 128


def test_a_shrunk_run_is_to_the_bit_the_one_that_began_so_small() -> None:
    """Weights, random numbers and statistics of the batch norm are put back before a step is made again."""
    shrunk, _ = run_on(60, Shrink())
    small, _ = run_on(
        600,
        None,
        micro_batch_size=shrunk.config.micro_batch_size,
        gradient_accumulation_steps=128 // shrunk.config.micro_batch_size,
    )

    assert same_bits(shrunk, small)


def test_what_ran_out_is_recorded() -> None:
    """What was asked for, what was held, what there is, and by what it was held."""
    _, log = run_on(60, Shrink())
    full = next(data for kind, data in log.events if kind == "out_of_memory")

    assert (full["action"], full["phase"], full["step"], full["capacity_bytes"]) == ("shrink", "backward", 0, 60 * MIB)
    assert 0 < full["requested_bytes"] <= 60 * MIB
    assert full["allocated_bytes"] <= full["reserved_bytes"] <= 60 * MIB
    assert full["by_category"]["parameter"] == pytest.approx(sum(p.numel() * 4 for p in Wide().parameters()), rel=0.01)


def test_every_failure_is_settled_in_the_record() -> None:
    """With the micro-batch that the run goes on with."""
    trainer, log = run_on(60, Shrink())
    kinds = [kind for kind, _ in log.events if kind.startswith("out_of_memory")]
    last = [data for kind, data in log.events if kind == "out_of_memory_settled"][-1]

    assert kinds == ["out_of_memory", "out_of_memory_settled"] * (len(kinds) // 2)
    assert last["micro_batch_size"] == trainer.config.micro_batch_size


def test_a_failure_that_ends_the_run_stays_unsettled() -> None:
    """So that whoever opens the record sees what ran out."""
    gpu, log = small_gpu(60), FakeLog()
    with gpu:
        trainer = trainer_on(gpu, log)
        trainer.recover_by(Raise())
        with pytest.raises(torch.OutOfMemoryError):
            trainer.run()

    assert [kind for kind, _ in log.events if kind.startswith("out_of_memory")] == ["out_of_memory"]


def test_where_not_one_sample_fits_the_original_error_is_raised() -> None:
    """After the last size, in CUDA's words."""
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        run_on(4, Shrink())


def test_the_error_tells_what_helps() -> None:
    """On a Python that shows notes."""
    with pytest.raises(torch.OutOfMemoryError) as caught:
        run_on(60, Raise())

    notes = getattr(caught.value, "__notes__", ["on_oom"])
    assert "on_oom" in notes[-1]


def test_other_errors_pass() -> None:
    """A step that is wrong is not made again."""
    gpu, log = small_gpu(600), FakeLog()
    with gpu:
        trainer = trainer_on(gpu, log)
        trainer.recover_by(Shrink())
        trainer.model.head = torch.nn.Linear(3, 10)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            trainer.run()


def broken_in_the_optimizer(failures: int) -> tuple[object, FakeLog]:
    """A run whose optimizer breaks off its first steps, and its log."""
    gpu, log = small_gpu(600), FakeLog()
    with gpu:
        trainer = trainer_on(gpu, log, optimizer="sgd")
        StateTooLarge.failures = failures
        trainer.optimizer.__class__ = StateTooLarge
        trainer.recover_by(Shrink())
        trainer.run()
    return trainer, log


def test_an_optimizer_that_runs_out_rolls_back() -> None:
    """Weights that were changed already are as before, and the steps are made again."""
    trainer, _ = broken_in_the_optimizer(1)
    plain, _ = run_on(600, None, optimizer="sgd", optimizer_options={"foreach": False})

    assert same_bits(trainer, plain)


def test_an_optimizer_that_runs_out_never_shrinks_the_batch() -> None:
    """It works tensor by tensor instead."""
    trainer, _ = broken_in_the_optimizer(1)

    assert trainer.config == replace(trainer.config, micro_batch_size=128, optimizer_options={"foreach": False})


def test_an_optimizer_that_never_fits_ends_the_run() -> None:
    """Nothing else is tried."""
    with pytest.raises(torch.OutOfMemoryError):
        broken_in_the_optimizer(2)


def test_shrinking_stops_at_one_sample() -> None:
    """There is no half of it."""
    assert Shrink().changed(Run(micro_batch_size=1), NOTHING_KNOWN) is False


def test_an_odd_micro_batch_is_halved_upwards() -> None:
    """So that the effective batch needs at most twice the passes."""
    run = Run(micro_batch_size=7)
    Shrink().changed(run, NOTHING_KNOWN)

    assert (run.config.micro_batch_size, run.config.effective_batch_size) == (4, 7)


def test_evaluation_that_runs_out_shrinks_only_evaluation() -> None:
    """The micro-batch of the training stays."""
    gpu, log = small_gpu(40), FakeLog()
    with gpu:
        trainer = trainer_on(gpu, log, micro_batch_size=16, evaluation_batch_size=256)
        trainer.evaluate("train")

    assert trainer.config.micro_batch_size == 16
    assert trainer.config.evaluation_batch_size < 256
