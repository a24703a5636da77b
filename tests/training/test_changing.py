"""Settings that change in the middle of a run: the arithmetic stays where it is said to stay."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.training import TrainConfig, Trainer
from bigmodel_lab.training.changing import CHANGEABLE, changes, check_change
from bigmodel_lab.training.device_memory import UnknownMemory
from tests.training.changed_runs import Exact, Images, data, run, same_bits, weights
from tests.training.fakes import CPU, FakeLog

DRAWN = random.Random(5)  # drawn once, so that a failure can be repeated
WALKS = [{step: DRAWN.randint(1, 40) for step in sorted(DRAWN.sample(range(14), 4))} for _ in range(4)]
NO_ARITHMETIC = {
    "checkpointing": {"activation_checkpointing": ("*",)},
    "checkpointing by name": {"activation_checkpointing": ("features",)},
    "offload": {"activation_offload": True},
    "evaluation": {"evaluation_batch_size": 7},
    "cap": {"memory_fraction": 0.5},
    "out of memory": {"on_oom": "raise"},
    "compute as before": {"precision": "bf16"},  # a CPU has fp32 only, and says so
}


def bigger(size: int):
    """A change to this micro-batch."""
    return lambda config: config.with_micro_batch(size)


@pytest.mark.parametrize("walk", WALKS, ids=str)
def test_losses_do_not_depend_on_the_micro_batch(walk: dict[int, int]) -> None:
    """Up, down, with a smaller last micro-batch: every loss is that of the run without, to 1e-9."""
    _, plain = run(Exact())
    _, changed = run(Exact(), {step: bigger(size) for step, size in walk.items()})

    expected, found = (torch.tensor(log.streams["step"].column("loss")) for log in (plain, changed))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("walk", WALKS, ids=str)
def test_weights_do_not_depend_on_the_micro_batch(walk: dict[int, int]) -> None:
    """The optimizer sees the same gradients, whatever they were added up from."""
    plain, _ = run(Exact())
    changed, _ = run(Exact(), {step: bigger(size) for step, size in walk.items()})

    for found, expected in zip(weights(changed), weights(plain), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("change", NO_ARITHMETIC.values(), ids=NO_ARITHMETIC)
def test_a_change_and_back_leaves_every_bit(change: dict[str, object]) -> None:
    """What changes no arithmetic: after a change and its undoing the run ends like one that had neither."""
    plain, _ = run(Images())
    changed, _ = run(
        Images(),
        {2: lambda config: replace(config, **change), 6: lambda config: replace(config, **undone(change))},
    )

    assert same_bits(plain, changed)
    assert changed.config == plain.config


def undone(change: dict[str, object]) -> dict[str, object]:
    """The values that these fields have of themselves."""
    return {name: getattr(TrainConfig(), name) for name in change}


def test_a_checkpointed_run_is_the_plain_one_to_the_bit() -> None:
    """Dropout draws the same numbers when a block runs again, and a batch norm counts each batch once."""
    plain, _ = run(Images())
    changed, _ = run(Images(), activation_checkpointing=("features",))

    assert same_bits(plain, changed)


def test_names_of_weights_stay() -> None:
    """Neither layout, nor compilation, nor checkpointing shows in a checkpoint."""
    trainer, _ = run(
        Images(), {1: lambda config: replace(config, channels_last=True, activation_checkpointing=("features",))}
    )

    assert trainer.model.state_dict().keys() == Images().state_dict().keys()


def test_channels_last_lays_weights_of_convolutions_out_and_back() -> None:
    """And the batch as it comes; contiguous again when it is undone."""
    trainer, _ = run(Images(), {1: lambda config: replace(config, channels_last=True)})
    kernel = trainer.model.features[0].weight
    by_channel = kernel.is_contiguous(memory_format=torch.channels_last)
    trainer.change(replace(trainer.config, channels_last=False))

    assert by_channel
    assert kernel.is_contiguous()


def test_kernels_of_the_optimizer_change_and_its_state_stays() -> None:
    """Fused from step 3 on: nearly the same weights as without."""
    plain, _ = run(Exact())
    fused, _ = run(Exact(), {3: lambda config: replace(config, optimizer_options={"fused": True})})

    assert fused.optimizer.param_groups[0]["fused"] is True
    for found, expected in zip(weights(fused), weights(plain), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "plateau"])
def test_a_learning_rate_changes_with_all_that_is_to_come(schedule: str) -> None:
    """Halved after step 5, it is half of what the schedule would have had at each later step."""
    _, plain = run(Exact(), schedule=schedule, warmup_steps=2)
    _, halved = run(
        Exact(),
        {5: lambda config: replace(config, learning_rate=config.learning_rate / 2)},
        schedule=schedule,
        warmup_steps=2,
    )

    expected, found = (log.streams["schedule"].column("learning_rate") for log in (plain, halved))
    assert found[:6] == expected[:6]
    assert found[6:] == pytest.approx([rate / 2 for rate in expected[6:]])


def test_the_change_is_recorded_with_both_values() -> None:
    """The log tells what was and what is."""
    _, log = run(Exact(), {1: bigger(8)})

    changed = dict(log.events)["changed"]
    assert (changed["was"]["micro_batch_size"], changed["now"]["micro_batch_size"]) == (32, 8)
    assert log.header["config"]["micro_batch_size"] == 8


@pytest.mark.parametrize(
    "change", [{"epochs": 5}, {"optimizer": "sgd"}, {"seed": 9}, {"schedule": "cosine"}, {"micro_batch_size": 16}]
)
def test_what_a_run_cannot_change_is_refused(change: dict[str, object]) -> None:
    """With what to do instead."""
    with pytest.raises(ConfigError, match="new"):
        check_change(TrainConfig(), replace(TrainConfig(), **change))


def test_other_options_of_the_optimizer_need_a_new_run() -> None:
    """Only its kernels can change."""
    with pytest.raises(ConfigError, match="weight_decay"):
        check_change(TrainConfig(), TrainConfig(optimizer_options={"weight_decay": 0.1}))


def test_a_module_that_is_not_there_changes_nothing() -> None:
    """The error names those that exist, and the run computes as before."""
    trainer = Trainer(Images(), data(), TrainConfig(), FakeLog(), device=CPU)
    with pytest.raises(UnknownNameError, match="features"):
        trainer.change(replace(trainer.config, activation_checkpointing=("feature",)))

    assert trainer.config == TrainConfig()


def test_every_changeable_name_is_a_setting() -> None:
    """The list has no name that was left behind."""
    assert set(TrainConfig().facts) >= CHANGEABLE


def test_changes_are_the_new_values() -> None:
    """Of those fields alone that differ."""
    assert changes(TrainConfig(), TrainConfig(compile=True)) == {"compile": True}


class Capped(UnknownMemory):
    """Notes the caps that it is given."""

    def __init__(self) -> None:
        self.shares: list[float | None] = []

    def set_fraction(self, share: float | None) -> None:
        """Note it."""
        self.shares.append(share)


@pytest.mark.parametrize(("share", "given"), [(None, []), (0.5, [0.5, None])])
def test_a_cap_is_taken_away_at_the_end_where_the_run_has_set_it(
    share: float | None, given: list[float | None]
) -> None:
    """One that the person has set is left alone."""
    memory = Capped()
    config = TrainConfig(max_steps=1, memory_fraction=share)
    Trainer(Exact(), data(), config, FakeLog(), device=CPU, memory=memory).run()

    assert memory.shares == given
