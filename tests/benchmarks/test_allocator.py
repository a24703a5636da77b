"""The benchmark of the allocator: its mixes are what they say, and its gate can fail."""

import pytest

from benchmarks.allocator import GOAL_PER_SECOND, Served, hostile, line, measure, serve, training
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import live_at, replay


def test_the_training_mix_keeps_weights_and_states():
    """Between steps three times the weights are in use: themselves and both states of AdamW."""
    trace = training(5_000)
    weights = 1 + 12 * 12  # the embedding, and twelve of each layer
    states = sum(allocation.bytes for allocation in trace.allocations[: 3 * weights])

    assert live_at(trace, len(trace.sequence) - 1) == tuple(range(3 * weights))
    assert replay(trace).allocated[-1] >= states


def test_the_hostile_mix_leaves_many_holes():
    """Hundreds of free blocks between used ones."""
    allocator = CachingAllocator()
    serve(hostile(20_000), allocator)

    assert allocator.stats()["inactive_split.all.peak"] > 200


@pytest.mark.parametrize("mix", [training, hostile])
def test_a_mix_is_the_same_every_time(mix):
    """Rounds can be compared."""
    assert mix(2_000) == mix(2_000)


def test_every_request_is_served():
    """As many as the trace has, in every round."""
    result = measure("hostile", hostile(1_000), rounds=2)

    assert (result.requests, len(result.per_second)) == (1_000, 2)


def test_a_slow_allocator_fails():
    """The gate is on the best round."""
    slow = Served("training", 10, [GOAL_PER_SECOND - 1.0, 1.0], 1, 1)

    assert not slow.passed
    assert line(slow).startswith("FAIL")
