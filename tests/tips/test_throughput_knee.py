"""The smaller of two micro-batches that are equally fast."""

from __future__ import annotations

from bigmodel_lab.tips.base import Evidence, StepFacts
from bigmodel_lab.tips.throughput_knee import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import healthy


def measured(throughput: dict[int, float], *, simulated: bool = False) -> Evidence:
    """A run of 64 samples that has had these sizes."""
    steps = StepFacts(200, 0.2, throughput_by_micro_batch=throughput)
    return healthy(steps=steps, config=TrainConfig(micro_batch_size=64), simulated=simulated)


def test_within_five_percent_is_equally_fast() -> None:
    """DeepSpeed's limit."""
    proposal = propose(measured({64: 1000.0, 32: 951.0}))

    assert proposal is not None
    assert proposal.change["micro_batch_size"] == 32


def test_silent_where_the_larger_one_is_faster() -> None:
    """By more than that."""
    assert propose(measured({64: 1000.0, 32: 940.0})) is None


def test_the_smallest_of_several() -> None:
    """All of them are as fast."""
    proposal = propose(measured({64: 1000.0, 32: 990.0, 16: 960.0}))

    assert proposal is not None
    assert proposal.change["micro_batch_size"] == 16


def test_silent_with_one_size() -> None:
    """There is nothing to compare."""
    assert propose(measured({64: 1000.0})) is None


def test_silent_on_a_simulated_card() -> None:
    """The CPU's speed says nothing of it."""
    assert propose(measured({64: 1000.0, 32: 990.0}, simulated=True)) is None


def test_the_time_is_the_measured_one() -> None:
    """No figure of others."""
    proposal = propose(measured({64: 1000.0, 32: 980.0}))

    assert proposal is not None
    assert proposal.speed is not None
    assert proposal.speed.least == proposal.speed.most == 1000.0 / 980.0
