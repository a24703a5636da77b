"""What an estimate expects to run, before a trial and after one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from bigmodel_lab.estimate import estimate_memory
from bigmodel_lab.tips._predicted_sizes import PredictedSizes

MIB = 2**20


@dataclass(frozen=True)
class FakeEstimate:
    """Constant memory and so much a sample; its range is 5 % wide on each side."""

    constant: int = 1_000
    per_sample: int = 10
    size: int = 1

    @property
    def peak_reserved_bytes(self) -> int:
        """Of this size."""
        return self.constant + self.per_sample * self.size

    @property
    def reserved_range(self) -> tuple[float, float]:
        """Around it."""
        return 0.95 * self.peak_reserved_bytes, 1.05 * self.peak_reserved_bytes

    def max_micro_batch_in(self, room: int) -> int:
        """The largest whose peak fits."""
        return max(0, (room - self.constant) // self.per_sample)

    def again(self, *, micro_batch_size: int) -> FakeEstimate:
        """Of another size."""
        assert micro_batch_size >= 1
        return replace(self, size=micro_batch_size)

    def scaled(self, size: int) -> FakeEstimate:
        """Of another size."""
        return replace(self, size=size)


def sizes(capacity: int = 11_000, at_most: int = 10**6, rest: int = 0, **estimate: int) -> PredictedSizes:
    """Of a fake estimate."""
    made: Any = FakeEstimate(**estimate)
    return PredictedSizes(made, capacity, at_most, rest)


def test_the_surest_size_fits_at_the_upper_end_of_the_range() -> None:
    """1.05 × (1,000 + 10 × 947) is 10,994 of 11,000; sizes within 0.1 % are not told apart."""
    assert 946 <= sizes().surest() <= 947


def test_nothing_may_fit() -> None:
    """Then no size is sure, and none is traced."""
    assert sizes(capacity=900).surest() == 0


def test_the_surest_size_is_at_most_what_is_allowed() -> None:
    """Nobody asked about more."""
    assert sizes(at_most=100).surest() == 100


def test_what_lies_there_besides_takes_its_room() -> None:
    """Data on the card, for instance."""
    assert sizes(rest=1_050).surest() < sizes().surest() - 90


def test_what_lies_there_besides_may_take_all_room() -> None:
    """Less than nothing is nothing."""
    assert sizes(rest=20_000).surest() == 0


def test_a_true_peak_gives_nearly_all_the_room() -> None:
    """0.2 % are left free, and sizes within 0.1 % are not told apart."""
    predicted = sizes()
    size = predicted.surest()

    assert 996 <= predicted.corrected(size, 1_000 + 10 * size) <= 998


def test_a_higher_peak_than_estimated_gives_fewer_samples() -> None:
    """By the same share."""
    predicted = sizes()
    size = predicted.surest()
    corrected = predicted.corrected(size, round(1.03 * (1_000 + 10 * size)))

    assert 1.03 * (1_000 + 10 * corrected) <= 11_000
    assert corrected < 970


def test_a_lower_peak_than_estimated_gives_more_samples() -> None:
    """Also more than the estimate itself would allow."""
    predicted = sizes()
    size = predicted.surest()

    assert predicted.corrected(size, round(0.9 * (1_000 + 10 * size))) > 1_050


def test_a_correction_does_not_count_what_lies_there_besides() -> None:
    """It is in the measured peak and not in the estimate."""
    predicted = sizes(rest=2_000)
    size = predicted.surest()

    assert 1_000 + 10 * predicted.corrected(size, 2_000 + 1_000 + 10 * size) <= 9_000


@pytest.mark.parametrize("capacity", [128 * MIB, 1024 * MIB])
def test_a_real_estimate_agrees_with_itself(capacity: int) -> None:
    """The surest size is below the largest, by the width of the range."""
    estimate = estimate_memory("mlp", gpu="2GiB")
    most = estimate.max_micro_batch_in(capacity)

    assert 0.8 * most <= PredictedSizes(estimate, capacity, 10**9).surest() <= most
