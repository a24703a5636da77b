"""The state of a training, taken and put back to the bit; and steps that leave no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bigmodel_lab.training import TrainConfig, Trainer
from bigmodel_lab.training.device_memory import memory_of
from bigmodel_lab.training.precision import Arithmetic, ScaledArithmetic
from bigmodel_lab.training.randomness import Randomness
from bigmodel_lab.training.rehearsal import rehearse
from bigmodel_lab.training.snapshot import Snapshot, StepSnapshot, tensors_of
from tests.training.changed_runs import Images, data
from tests.training.fakes import CPU, FakeLog
from tests.training.small_card import run_on, small_gpu, trainer_on
from tests.training.test_trainer_state import same

STEPS = 3


class Counting(nn.Module):
    """A buffer that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros(1), persistent=False)


def trained(optimizer: str = "adam") -> Trainer:
    """A trainer after three steps."""
    trainer = Trainer(
        Images(), data(), TrainConfig(micro_batch_size=32, optimizer=optimizer, max_steps=3), FakeLog(), device=CPU
    )
    trainer.run()
    return trainer


def state_of(trainer: Trainer) -> dict[str, object]:
    """Everything, copied."""
    state = trainer.state()
    return {name: torch.utils._pytree.tree_map_only(torch.Tensor, torch.clone, part) for name, part in state.items()}


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rmsprop"])
def test_steps_are_taken_back_to_the_bit(optimizer: str) -> None:
    """Weights, statistics, optimizer, random numbers."""
    trainer = trained(optimizer)
    before, saved = state_of(trainer), trainer.snapshot()
    for indices in trainer.upcoming(STEPS):
        trainer.make_step(indices)
    changed = not same(state_of(trainer), before)
    saved.restore()

    assert changed
    assert same(state_of(trainer), before)


def test_it_can_be_put_back_more_than_once() -> None:
    """What the optimizer takes over is a copy."""
    trainer = trained()
    before, saved = state_of(trainer), trainer.snapshot()
    for _ in range(2):
        for indices in trainer.upcoming(STEPS):
            trainer.make_step(indices)
        saved.restore()

    assert same(state_of(trainer), before)


def test_parameters_stay_the_tensors_that_they_are() -> None:
    """An optimizer and a compiled model hold them."""
    trainer = trained()
    saved = trainer.snapshot()
    held = [id(tensor) for tensor in tensors_of(trainer.model)]
    saved.restore()

    assert [id(tensor) for tensor in tensors_of(trainer.model)] == held


def test_buffers_that_no_checkpoint_holds_come_back() -> None:
    """They belong to the state all the same."""
    model = Counting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    saved = Snapshot(model, optimizer, Arithmetic, Randomness(0, "cpu"), memory_of("cpu"))
    model.seen.add_(1)
    saved.restore()

    assert float(model.seen) == 0


def test_an_optimizer_without_state_is_without_again() -> None:
    """Taken before the first step."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    saved = Snapshot(model, optimizer, Arithmetic, Randomness(0, "cpu"), memory_of("cpu"))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    saved.restore()

    assert not optimizer.state
    assert model.weight.grad is None


def test_a_scaler_has_its_scale_again() -> None:
    """And takes a step that was broken off between unscaling and stepping."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arithmetic = ScaledArithmetic("cpu")
    saved = Snapshot(model, optimizer, lambda: arithmetic, Randomness(0, "cpu"), memory_of("cpu"))
    arithmetic.backward(model(torch.ones(1, 2)).sum())
    arithmetic.scaler.unscale_(optimizer)
    saved.restore()
    arithmetic.backward(model(torch.ones(1, 2)).sum())
    arithmetic.scaler.unscale_(optimizer)

    assert arithmetic.scaler.get_scale() == 65536


def test_before_a_step_buffers_and_random_numbers_are_kept() -> None:
    """All that a forward pass changes."""
    trainer = trained()
    before = state_of(trainer)
    kept = StepSnapshot(trainer.model, trainer._randomness)
    trainer.model.features(torch.rand(4, 1, 8, 8))
    kept.restore()

    assert same(state_of(trainer)["model"], before["model"])


def test_a_rehearsal_leaves_no_trace() -> None:
    """Neither of the old settings nor of the new ones."""
    trainer = trained()
    before = state_of(trainer)
    other = replace(trainer.config, activation_checkpointing=("features",), evaluation_batch_size=7)
    rehearse(trainer, [trainer.config, other, other.with_micro_batch(5)], STEPS)

    assert same(state_of(trainer), before)
    assert trainer.config.micro_batch_size == 32


def test_windows_see_the_same_steps() -> None:
    """From the same state, on the same samples: the same losses."""
    trainer = trained()
    with trainer.computing():
        first, again = rehearse(trainer, [trainer.config, trainer.config], STEPS)

    assert first.losses == again.losses
    assert len(first.step_seconds) == STEPS


def test_the_run_goes_on_as_if_nothing_had_been_rehearsed() -> None:
    """Its next step is the one that would have come."""
    plain, rehearsed = trained(), trained()
    with rehearsed.computing():
        rehearse(rehearsed, [replace(rehearsed.config, learning_rate=0.5)], STEPS)

    assert next_loss(plain) == next_loss(rehearsed)


def next_loss(trainer: Trainer) -> float:
    """Of the step that comes next."""
    with trainer.computing():
        return float(trainer.make_step(trainer.upcoming(1)[0])[0])


def test_a_rehearsal_tells_the_peak_of_each_setting() -> None:
    """A smaller micro-batch takes less of the card."""
    gpu = small_gpu(600)
    with gpu:
        trainer = trainer_on(gpu, FakeLog())
        large, small = rehearse(trainer, [trainer.config, trainer.config.with_micro_batch(16)], 1)

    assert large.peaks is not None
    assert small.peaks is not None
    assert small.peaks.allocated_bytes < large.peaks.allocated_bytes / 2


def test_a_setting_that_does_not_fit_gives_a_window_that_says_so() -> None:
    """Everything is put back all the same."""
    gpu = small_gpu(60)
    with gpu:
        trainer = trainer_on(gpu, FakeLog(), micro_batch_size=16, gradient_accumulation_steps=8)
        before = state_of(trainer)
        (window,) = rehearse(trainer, [trainer.config.with_micro_batch(128)], 1)

    assert window.out_of_memory is not None
    assert window.losses == ()
    assert same(state_of(trainer), before)


def test_on_a_card_a_snapshot_lies_in_main_memory() -> None:
    """It takes nothing of the card beyond some blocks for single numbers."""
    gpu = small_gpu(600)
    with gpu:
        trainer = trainer_on(gpu, FakeLog())
        before = gpu.allocated_bytes
        saved = trainer.snapshot()
        saved.restore()
        after = gpu.allocated_bytes

    assert after - before < 2**15 < before


def test_precision_on_a_simulated_card_is_that_of_the_card() -> None:
    """The CPU computes in bf16 where the card would."""
    trainer, _ = run_on(600, None, precision="bf16", max_steps=1)

    assert trainer.precision.name == "bf16"
