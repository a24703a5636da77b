"""Batches by index against the DataLoader of the tutorials."""

import pytest

from benchmarks.feeding import OURS, WAYS, measure


@pytest.fixture(scope="module")
def rates() -> dict[str, list[float]]:
    """A few short rounds."""
    return measure(rounds=3, samples=6400)


def test_every_way_delivers(rates: dict[str, list[float]]) -> None:
    """Each way has a rate for each round."""
    assert {name: len(r) for name, r in rates.items()} == dict.fromkeys(WAYS, 3)


def test_batches_by_index_are_at_least_ten_times_as_fast_as_reading_by_sample(rates: dict[str, list[float]]) -> None:
    """In their best rounds; quiet machines show a hundred times."""
    by_sample = next(name for name in WAYS if "ToTensor" in name)

    assert max(rates[OURS]) > 10 * max(rates[by_sample])
