"""The search runs few sizes, fails at none where memory grows in a line, and answers only what it ran."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bigmodel_lab.tips._finder import Attempt, Found, Measured, find_largest

MIB = 2**20
CAPACITY = 10_000 * MIB


@dataclass
class FakeCard:
    """Runs any size whose memory, a function of it, fits."""

    memory: Callable[[int], float]
    held: int = 1_000 * MIB
    capacity: int = CAPACITY
    seconds: Callable[[int], float] | None = None
    jitter: float = 0.0
    retries_from: int = 10**9
    asked: list[tuple[int, int]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def __call__(self, size: int, steps: int) -> Measured | None:
        """As a trial."""
        self.asked.append((size, steps))
        peaks = tuple(int(self.memory(size) * (1 + self.jitter * self.chance.uniform(-1, 1))) for _ in range(steps))
        if max(peaks) > self.capacity:
            return None
        seconds = None if self.seconds is None else self.seconds(size)
        return Measured(peaks, self.held, seconds, int(size >= self.retries_from))

    @property
    def sizes(self) -> list[int]:
        """That were tried, in order."""
        return [size for size, _ in self.asked]


@dataclass(frozen=True)
class Says:
    """An estimate that is off by a factor."""

    size: int
    second: int = 0

    def surest(self) -> int:
        """Expected to run."""
        return self.size

    def corrected(self, size: int, peak_bytes: int) -> int:
        """After one has run."""
        return self.second or size if peak_bytes else 0


def line(per_sample: float, constant: float = 1_200 * MIB) -> Callable[[int], float]:
    """Memory that grows in a line."""
    return lambda size: constant + per_sample * size


def largest_of(memory: Callable[[int], float], capacity: int = CAPACITY) -> int:
    """The true answer."""
    low, high = 0, 10**6
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if memory(middle) <= capacity else (low, middle)
    return low


@pytest.mark.parametrize("true", [30, 128, 999, 2048, 20_000])
def test_a_line_is_found_in_four_runs(true: int) -> None:
    """Two probes and two trials end within 1 % or one sample, without a failure."""
    card = FakeCard(line((CAPACITY - 1_200 * MIB) / (true + 0.5)))
    found = find_largest(card, CAPACITY, at_most=10**6)

    assert len(found.attempts) <= 4
    assert found.out_of_memory == 0
    assert 0 <= true - found.largest <= max(1, 0.01 * true)


def test_the_first_two_runs_are_probes() -> None:
    """What follows is run to be the answer."""
    found = find_largest(FakeCard(line(5 * MIB)), CAPACITY, at_most=10**6)

    assert [attempt.kind for attempt in found.attempts[:3]] == ["probe", "probe", "trial"]


def test_small_sizes_are_run_for_many_steps_and_large_ones_for_two() -> None:
    """The spread of peaks is learned where a step is cheap."""
    card = FakeCard(line(5 * MIB))
    find_largest(card, CAPACITY, at_most=10**6)

    assert [steps for _, steps in card.asked] == [12, 12, *[2] * (len(card.asked) - 2)]


def test_where_peaks_jitter_a_trial_has_more_steps() -> None:
    """Two steps would not show how high they go."""
    card = FakeCard(line(5 * MIB), jitter=0.002)
    find_largest(card, CAPACITY, at_most=10**6)

    assert card.asked[2][1] == 20


@pytest.mark.parametrize("seed", range(10))
def test_jitter_makes_no_trial_fail(seed: int) -> None:
    """The line is trusted only as far as peaks were seen to agree."""
    card = FakeCard(line(5 * MIB), jitter=0.004, chance=random.Random(seed))
    found = find_largest(card, CAPACITY, at_most=10**6)

    assert found.out_of_memory == 0
    assert found.largest <= largest_of(lambda size: 1.004 * line(5 * MIB)(size))


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_was_always_run(seed: int) -> None:
    """Whatever memory does: bent, in steps, or both."""
    chance = random.Random(seed)
    power, grain, per_sample = (
        chance.uniform(0.7, 1.6),
        chance.choice([1, 20, 300]) * MIB,
        chance.uniform(0.1, 20) * MIB,
    )
    card = FakeCard(lambda size: 1_100 * MIB + -(-(per_sample * size**power) // grain) * grain)
    found = find_largest(card, CAPACITY, at_most=50_000, grain_bytes=grain)

    assert found.largest in card.sizes
    assert card.memory(found.largest) <= CAPACITY
    assert len(card.sizes) <= 16


def test_a_peak_that_is_flat_at_first_does_not_mislead() -> None:
    """For small batches the optimizer makes the peak: the line begins later, and no trial fails for that."""
    memory = lambda size: max(3_000 * MIB, line(4 * MIB)(size))  # noqa: E731 (two lines of one figure)
    found = find_largest(FakeCard(memory), CAPACITY, at_most=10**6)

    assert found.out_of_memory == 0
    assert found.largest >= 0.9 * largest_of(memory)


def test_after_a_failure_the_answer_lies_below_it() -> None:
    """Memory that jumps: what lies between is tried, from what ran."""
    memory = lambda size: line(MIB)(size) + (5_000 * MIB if size > 3_000 else 0)  # noqa: E731 (as above)
    found = find_largest(FakeCard(memory), CAPACITY, at_most=10**6)

    assert found.out_of_memory >= 1
    assert 0.9 * largest_of(memory) <= found.largest <= largest_of(memory)


def test_no_more_than_sixteen_sizes_are_tried() -> None:
    """Also where memory makes no sense."""
    chance = random.Random(1)
    card = FakeCard(lambda size: chance.uniform(0.1, 1.2) * CAPACITY)
    find_largest(card, CAPACITY, at_most=10**6)

    assert len(card.asked) <= 16


def test_the_largest_size_allowed_ends_the_search() -> None:
    """Where memory would take more."""
    card = FakeCard(line(MIB))
    found = find_largest(card, CAPACITY, at_most=100)

    assert found.largest == 100
    assert max(card.sizes) == 100


def test_a_single_sample_may_be_all_that_is_allowed() -> None:
    """One run, then."""
    assert FakeCard(line(MIB)).sizes == []

    card = FakeCard(line(MIB))
    find_largest(card, CAPACITY, at_most=1)

    assert card.sizes == [1]


def test_a_good_estimate_needs_one_trial() -> None:
    """It ran, and the correction offers nothing more."""
    true = largest_of(line(5 * MIB))
    card = FakeCard(line(5 * MIB))
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(true))

    assert card.sizes == [true]
    assert [attempt.kind for attempt in found.attempts] == ["trial"]


def test_a_careful_estimate_is_corrected_once() -> None:
    """In view of the peak that was measured."""
    card = FakeCard(line(5 * MIB))
    find_largest(card, CAPACITY, at_most=10**6, prediction=Says(1_600, second=1_740))

    assert card.sizes == [1_600, 1_740]


def test_a_correction_never_goes_beyond_the_line() -> None:
    """The steepest line through what is held and the peak bounds it."""
    card = FakeCard(line(5 * MIB))
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(1_600, second=9_999))

    assert found.out_of_memory == 0


def test_an_estimate_that_is_too_high_is_recovered_from() -> None:
    """The first trial fails; a much smaller one runs, and a line leads back."""
    true = largest_of(line(5 * MIB))
    card = FakeCard(line(5 * MIB))
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(2 * true))

    assert found.out_of_memory == 1
    assert 0.95 * true <= found.largest <= true
    assert len(card.sizes) <= 7


def test_an_estimate_that_nothing_fits_is_not_believed_unseen() -> None:
    """Two probes look first."""
    found = find_largest(FakeCard(line(5 * MIB)), CAPACITY, at_most=10**6, prediction=Says(0))

    assert found.attempts[0].kind == "probe"
    assert found.largest > 1_000


def test_where_nothing_runs_little_is_tried() -> None:
    """An eighth each time, down to one sample; then there is no answer."""
    card = FakeCard(line(MIB, constant=2 * CAPACITY))
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(143))

    assert card.sizes == [143, 17, 2, 1]
    assert (found.largest, found.recommended, found.out_of_memory) == (0, 0, 4)


def test_without_any_memory_nothing_is_tried() -> None:
    """The capacity may be 0 beside other people's processes."""
    card = FakeCard(line(MIB))

    assert find_largest(card, 0, at_most=10).attempts == ()
    assert card.sizes == []


def test_a_run_that_gave_back_its_cache_does_not_count() -> None:
    """The next time it may not be so lucky."""
    card = FakeCard(line(5 * MIB), retries_from=1_500)
    found = find_largest(card, CAPACITY, at_most=10**6)

    assert max(card.sizes) >= 1_500
    assert 0.9 * 1_500 <= found.largest < 1_500
    assert found.out_of_memory == 0
    assert found.failed >= 1


def test_memory_in_pieces_is_trusted_less() -> None:
    """A piece of the allocator above the line must still fit."""
    grain = 200 * MIB
    memory = lambda size: -(-line(5 * MIB)(size) // grain) * grain + 1  # noqa: E731 (as above)
    card = FakeCard(memory)
    found = find_largest(card, CAPACITY, at_most=10**6, grain_bytes=grain)

    assert found.out_of_memory == 0
    assert found.largest >= 0.9 * largest_of(memory)


def test_half_the_size_is_recommended_where_it_is_as_fast() -> None:
    """Samples a second no longer grow from 500 on: half of the largest is timed, half of that, and so on."""
    card = FakeCard(line(5 * MIB), seconds=lambda size: max(size, 500) / 1000)
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(1_700))

    assert [(attempt.kind, attempt.size) for attempt in found.attempts[-2:]] == [("timing", 850), ("timing", 425)]
    assert (found.largest, found.recommended) == (1700, 850)


def test_smaller_sizes_are_timed_three_times_at_most() -> None:
    """Where speed does not depend on the size at all."""
    card = FakeCard(line(5 * MIB), seconds=lambda size: size / 1000)
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(1_700))

    assert sum(attempt.kind == "timing" for attempt in found.attempts) == 3


def test_where_the_largest_is_the_fastest_one_smaller_is_timed() -> None:
    """Then it is clear."""
    card = FakeCard(line(5 * MIB), seconds=lambda size: 1.0)
    found = find_largest(card, CAPACITY, at_most=10**6, prediction=Says(1_700))

    assert sum(attempt.kind == "timing" for attempt in found.attempts) == 1
    assert found.recommended == found.largest


def test_unknown_times_are_not_compared() -> None:
    """As on a simulated card: the largest is recommended."""
    found = find_largest(FakeCard(line(5 * MIB)), CAPACITY, at_most=10**6, prediction=Says(1_700))

    assert all(attempt.kind == "trial" for attempt in found.attempts)
    assert found.recommended == found.largest


def test_a_timing_that_fails_ends_the_timings() -> None:
    """It should not, and is then not repeated."""
    runs = {100: Measured((10,), 1, 1.0)}
    found = find_largest(lambda size, steps: runs.get(size), CAPACITY, at_most=100, prediction=Says(100))

    assert [(attempt.kind, attempt.size) for attempt in found.attempts] == [("trial", 100), ("timing", 50)]
    assert found.recommended == 100


def test_the_recommended_size_is_within_5_percent_of_the_best() -> None:
    """The smallest such one, whichever was the fastest."""
    attempts = [
        Attempt("trial", size, Measured((1,), 0, seconds)) for size, seconds in [(10, 1.0), (20, 1.9), (40, 3.7)]
    ]

    assert Found(tuple(attempts), 100).recommended == 20


def test_the_peak_of_a_size_is_that_of_its_highest_step() -> None:
    """Not the mean."""
    assert Measured((3, 9, 4)).peak_bytes == 9


def test_throughput_is_unknown_where_the_time_is() -> None:
    """And where nothing ran."""
    assert Attempt("trial", 8, Measured((1,))).samples_per_second is None
    assert Attempt("trial", 8, None).samples_per_second is None
    assert Attempt("trial", 8, Measured((1,), 0, 2.0)).samples_per_second == 4.0
