"""The benchmark of the virtual GPU runs, and its figures hang together."""

from benchmarks.virtual_gpu import WORKLOADS, measure


def test_a_workload_is_measured_in_pairs() -> None:
    """A few steps suffice to see that a card adds something to each operation."""
    row = measure(WORKLOADS[1], pairs=3, block_seconds=0.01)

    assert row.name.startswith("small")
    assert row.operations > 20
    assert row.low <= row.ratio <= row.high
    assert row.ratio > 1
    assert row.added_us > 0
