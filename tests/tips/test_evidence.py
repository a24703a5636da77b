"""What is read off a run, and in which order its tips come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bigmodel_lab.errors import TraceError
from bigmodel_lab.estimate import estimate_memory
from bigmodel_lab.estimate._of_run import estimate_run, plan_settings, resident_bytes
from bigmodel_lab.memory.cards import card
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.tips._advisor import advise
from bigmodel_lab.tips._evidence import (
    column,
    epoch_losses,
    memory_facts,
    model_facts,
    platform,
    step_facts,
    throughputs,
)
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.training import TrainConfig, Trainer
from tests.tips.evidences import Convolutions, estimated, healthy, nearly_full, predicted, ran_out
from tests.training.changed_runs import Images, data
from tests.training.fakes import CPU, FakeLog
from tests.training.small_card import small_gpu, trainer_on

KEYS = ("loss", "step_seconds", "samples_per_second")


@pytest.fixture
def log() -> Iterator[RunLog]:
    """A run with six steps: three at a micro-batch of 8, three at 16."""
    made = RunLog.create("a test")
    steps = made.stream("step", axis="step", keys=KEYS)
    for step in range(3):
        steps.append(step, step, (1.0, 0.2, 40.0))
    made.event("changed", was={"micro_batch_size": 8}, now={"micro_batch_size": 16})
    for step in range(3, 6):
        steps.append(step, step, (1.0, 0.1, 80.0))
    yield made
    made.close(Status.STOPPED)


def test_steps_are_read_by_their_median(log: RunLog) -> None:
    """A slow one does not count."""
    facts = step_facts(log)

    assert facts is not None
    assert (facts.steps, facts.seconds) == (6, pytest.approx(0.15))


def test_without_steps_nothing_is_known() -> None:
    """Unknown, not 0."""
    log = RunLog.create("a test")
    facts = step_facts(log)
    log.close(Status.STOPPED)

    assert facts is None


def test_throughput_is_told_apart_by_micro_batch(log: RunLog) -> None:
    """Of each size that the run has had."""
    assert throughputs(log) == {8: 40.0, 16: 80.0}


def test_utilization_is_its_95th_percentile(log: RunLog) -> None:
    """The rule that the thresholds were published with."""
    samples = log.stream("nvml", axis="time", keys=("gpu_utilization_percent",))
    for nth in range(100):
        samples.append(0, nth, (float(nth),))

    assert step_facts(log).gpu_utilization_percent == pytest.approx(94.05)


def test_a_metric_that_is_not_there_is_empty(log: RunLog) -> None:
    """No error."""
    assert column(log, "power_watts").shape == (0,)


def test_epochs_without_a_validation_do_not_count(log: RunLog) -> None:
    """Both losses of an epoch, or neither."""
    epochs = log.stream("epoch", axis="step", keys=("validation_loss", "validation_accuracy", "loss", "accuracy"))
    epochs.append(2, 1, (0.5, 0.5, 0.4, 0.5))
    epochs.append(5, 2, (np.nan, 0.5, 0.3, 0.5))

    assert epoch_losses(log) == ((0.5,), (0.4,))


def test_a_model_is_counted() -> None:
    """What tips care about."""
    facts = model_facts(Images())

    assert (facts.convolutions, facts.batch_norms, facts.random_layers) == (1, 1, 1)
    assert facts.parameters == facts.trainable_parameters == sum(p.numel() for p in Images().parameters())


def test_a_compiled_model_is_known_as_one() -> None:
    """By the sign that torch leaves on it."""
    wrapped = nn.Module()
    wrapped._orig_mod = nn.Linear(2, 2)

    assert model_facts(wrapped).is_compiled


def test_on_a_cpu_no_memory_is_measured() -> None:
    """Nobody counts there."""
    trainer = Trainer(Images(), data(), TrainConfig(max_steps=1), FakeLog(), device=CPU)
    trainer.run()

    assert memory_facts(trainer) is None


def test_the_platform_names_what_is_installed() -> None:
    """And the torch that runs."""
    found = platform()

    assert found.torch == tuple(int(part) for part in torch.__version__.split(".")[:2])
    assert found.processors >= 1


def test_the_estimate_of_a_run_is_that_of_its_model() -> None:
    """The same peak as asked for by hand, up to what the penalty and the copies of the loop add."""
    gpu = small_gpu(600)
    with gpu:
        trainer = trainer_on(gpu, FakeLog(), Convolutions(), micro_batch_size=64)
    of_run = estimate_run(trainer, card("2GiB")).peak_allocated_bytes

    assert of_run == pytest.approx(estimated(Convolutions).peak_allocated_bytes, rel=0.01)


def test_the_data_of_a_run_lies_on_its_device() -> None:
    """Training and validation; the test is brought when it is asked for."""
    loaded = data()
    held = [loaded.splits[part] for part in ("train", "validation")]

    assert resident_bytes(loaded) == sum(one.x.nbytes + one.y.nbytes for one in held)


def test_settings_of_a_run_are_those_of_a_plan() -> None:
    """All that changes the memory."""
    config = TrainConfig(activation_checkpointing=("*",), activation_offload=True, precision="bf16")
    settings = plan_settings(config)

    assert (settings["checkpointing"], settings["offload"], settings["precision"]) == (True, True, "bf16")


def test_a_prediction_goes_on_from_what_was_measured() -> None:
    """What the estimate does not know of, the samples say, stays in it."""
    config = TrainConfig(micro_batch_size=64, optimizer="adam")
    plain = Predictor(estimated(Convolutions), config)
    held = Predictor(estimated(Convolutions), config, resident_bytes=10 * 2**20)
    difference = held.effect(precision="bf16").after_bytes - plain.effect(precision="bf16").after_bytes

    assert difference == 10 * 2**20


def test_an_8_bit_optimizer_stays_one_when_something_else_changes() -> None:
    """Its name is not among the settings of a run."""
    batch = (torch.empty(8, 512, device="meta"), torch.empty(8, dtype=torch.int64, device="meta"))
    small = estimate_memory(
        nn.Linear(512, 4096), batch, loss=nn.functional.cross_entropy, optimizer="adamw_8bit", gpu="2GiB"
    )
    predictor = Predictor(small, TrainConfig(micro_batch_size=8, optimizer="adamw"))

    assert predictor.peak(precision="bf16").allocated_bytes < 1.2 * small.peak_allocated_bytes


def test_a_change_that_cannot_be_followed_predicts_nothing() -> None:
    """A model with its batch size written in."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows: torch.Tensor = self.layer(x.reshape(16, 8))
            return rows

    batch = (torch.empty(16, 8, device="meta"), torch.empty(16, dtype=torch.int64, device="meta"))
    fixed = estimate_memory(Fixed(), batch, loss=nn.functional.cross_entropy, gpu="2GiB")
    predictor = Predictor(fixed, TrainConfig(micro_batch_size=16))

    assert predictor.effect(micro_batch_size=4) is None
    with pytest.raises(TraceError, match="micro_batch_size=4"):
        predictor.at(micro_batch_size=4)


def test_beside_others_room_is_left_for_them() -> None:
    """The larger of 5 % and 1 GiB."""
    alone, shared = healthy(), healthy(others_bytes=2**30)

    assert alone.capacity_bytes - shared.capacity_bytes == 2**30 + max(2**30, int(0.05 * alone.card.total_bytes))


def test_a_cap_counts_as_the_end() -> None:
    """A share of the whole card."""
    evidence = healthy()
    capped = replace(evidence, config=replace(evidence.config, memory_fraction=0.5))

    assert capped.capacity_bytes == evidence.card.total_bytes // 2


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (nearly_full(), "of the"),
        (healthy(out_of_memory=ran_out()), "ran out of memory"),
        (predicted(free_mib=60), "is predicted"),
    ],
)
def test_short_memory_is_told_with_its_numbers(evidence: object, words: str) -> None:
    """Measured, failed, or predicted."""
    assert words in str(evidence.memory_pressure)


def test_a_healthy_run_is_not_short_of_memory() -> None:
    """Half of it is free."""
    assert healthy().memory_pressure is None


def test_where_memory_is_short_what_helps_it_comes_first() -> None:
    """Speed is no comfort then."""
    goals = [proposal.goal for proposal in advise(predicted(free_mib=60))]

    assert goals == sorted(goals, key=lambda goal: goal != "memory")
    assert goals[0] == "memory"


def test_what_was_undone_is_not_asked_again() -> None:
    """By name."""
    evidence = predicted(free_mib=60)
    first = advise(evidence)[0].tip

    assert first not in [proposal.tip for proposal in advise(evidence, without=[first])]


def test_every_proposal_comes_with_lines_to_copy() -> None:
    """For at least one framework."""
    assert all(proposal.code for proposal in advise(predicted(free_mib=60)))
