"""Updates are small, whatever the length of the run."""

import pytest

from benchmarks.dashboard_cost import KEYFRAME_BYTES, UPDATE_BYTES, Costs, measure


@pytest.fixture(scope="module", params=[100, 60_000])
def costs(request: pytest.FixtureRequest) -> dict[str, Costs]:
    """Updates of sixteen series in a real kernel, by kind; the longer run has left its ring."""
    return {c.kind: c for c in measure(request.param, updates=6)}


def test_an_update_is_at_most_two_kilobytes(costs: dict[str, Costs]) -> None:
    """Whole messages, Jupyter's framing included."""
    assert 0 < costs["everything"].bytes <= UPDATE_BYTES


def test_a_keyframe_is_at_most_sixteen_kilobytes(costs: dict[str, Costs]) -> None:
    """The whole history goes into one message of bounded size."""
    assert 0 < costs["keyframe"].bytes <= KEYFRAME_BYTES


def test_most_of_a_long_keyframe_is_numbers(costs: dict[str, Costs]) -> None:
    """What is sent is data, not framing."""
    assert costs["keyframe"].payload_bytes > costs["keyframe"].bytes / 2


def test_an_update_that_takes_too_long_fails() -> None:
    """The gate of the command is on the best CPU time: a busy machine can only add."""
    slow = Costs("steps", 100, wall_us=900.0, cpu_us=801.0, best_cpu_us=501.0, bytes=1000, payload_bytes=500)

    assert not slow.passed
