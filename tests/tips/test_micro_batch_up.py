"""A larger micro-batch: only where something speaks for it, and only as far as the step has samples."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from bigmodel_lab.tips import throughput_knee
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips.base import Evidence, MemoryFacts, StepFacts
from bigmodel_lab.tips.micro_batch_up import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import Convolutions, estimated, predicted

ACCUMULATED = TrainConfig(micro_batch_size=16, gradient_accumulation_steps=4, optimizer="adam")
MIB = 2**20


@lru_cache(maxsize=1)
def predictor() -> Predictor:
    """Of four micro-batches of 16 images; every test asks the same one, which remembers what it has traced."""
    return Predictor(estimated(Convolutions).again(micro_batch_size=16, gradient_accumulation_steps=4), ACCUMULATED)


def roomy(busy: float | None = 40.0, **changed: Any) -> Evidence:
    """A real card, nearly empty and often idle; four micro-batches of 16 a step."""
    facts = changed.pop("throughput", {})
    steps = StepFacts(100, 0.1, 640.0, gpu_utilization_percent=busy, throughput_by_micro_batch=facts)
    known = {
        "free_mib": 900,
        "config": ACCUMULATED,
        "predictor": predictor(),
        "memory": MemoryFacts(50 * MIB, 60 * MIB),
        "steps": steps,
        "simulated": False,
    }
    return predicted(**{**known, **changed})


def test_never_beyond_the_samples_of_a_step() -> None:
    """However much memory is left."""
    proposal = propose(roomy())

    assert proposal is not None
    assert (proposal.change["micro_batch_size"], proposal.change["gradient_accumulation_steps"]) == (64, 1)


@pytest.mark.parametrize("busy", [70.0, 95.0, None])
def test_silent_on_a_busy_card(busy: float | None) -> None:
    """And on one of which nobody knows: SageMaker's limit is 70 %."""
    assert propose(roomy(busy)) is None


def test_silent_where_memory_is_used() -> None:
    """From 70 % of what the process can have."""
    assert propose(roomy(memory=MemoryFacts(600 * MIB, 650 * MIB))) is None


def test_silent_without_accumulation() -> None:
    """A larger batch would be another training."""
    assert propose(roomy(config=replace(ACCUMULATED, gradient_accumulation_steps=1))) is None


def test_a_busy_card_whose_throughput_has_grown() -> None:
    """16 was a quarter faster than 8, so 64 is worth a try."""
    assert propose(roomy(95.0, throughput={8: 800.0, 16: 1000.0})) is not None


def test_silent_where_a_larger_one_was_not_faster() -> None:
    """It has been tried in this run."""
    assert propose(roomy(throughput={16: 1000.0, 32: 1020.0})) is None


@pytest.mark.parametrize("faster", [0.9, 1.0, 1.04, 1.1, 1.5])
def test_never_against_the_tip_of_the_knee(faster: float) -> None:
    """Of two sizes that were measured, one tip goes up or the other comes back, never both in turn."""
    throughput = {16: 1000.0, 64: faster * 1000.0}
    large = replace(ACCUMULATED, micro_batch_size=64, gradient_accumulation_steps=1)
    up = propose(roomy(throughput=throughput))
    down = throughput_knee.propose(roomy(throughput=throughput, config=large, predictor=None))

    assert (up is None) == (down is not None)


def test_the_larger_batch_leaves_memory_that_is_not_short() -> None:
    """All 64 would run in these 108 MiB, but fill them, and the next tip would make the batch smaller again."""
    evidence = roomy(free_mib=108, memory=MemoryFacts(30 * MIB, 40 * MIB))
    proposal = propose(evidence)

    assert evidence.would_fit(micro_batch_size=64) is True
    assert proposal is not None
    assert proposal.change["micro_batch_size"] == 32


def test_a_simulated_card_is_not_called_idle() -> None:
    """Nothing is known of its speed."""
    proposal = propose(roomy(40.0, simulated=True))

    assert proposal is not None
    assert "busy" not in proposal.why


def test_what_was_measured_is_said() -> None:
    """With its unit."""
    proposal = propose(roomy(40.0))

    assert proposal is not None
    assert "40 %" in proposal.why
