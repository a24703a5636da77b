"""A line is trusted as far as peaks agree with it, and no farther."""

from __future__ import annotations

import random

import pytest

from bigmodel_lab.tips._finder_line import Reading, jitter_of, jitters, largest_within


def readings(*pairs: tuple[int, int], steps: int = 2) -> list[Reading]:
    """Sizes with one and the same peak in each step."""
    return [Reading(size, (peak,) * steps) for size, peak in pairs]


def test_the_mean_is_over_the_steps() -> None:
    """In bytes."""
    assert Reading(8, (10, 20, 30)).mean == 20


def test_many_steps_pin_the_mean_down() -> None:
    """The highest that it may be comes nearer to what was measured."""
    few, many = Reading(8, (1000,) * 2), Reading(8, (1000,) * 100)

    assert few.high(0.01) > many.high(0.01) > 1000
    assert few.low(0.01) < many.low(0.01) < 1000


def test_a_mean_is_never_off_by_more_than_a_step() -> None:
    """A single step says the least."""
    assert Reading(8, (1000,)).high(0.01) == 1010


def test_steps_are_taken_to_differ_even_if_they_were_not_seen_to() -> None:
    """By 0.2 %."""
    assert jitter_of(readings((8, 1000), (64, 2000))) == 0.002


def test_the_largest_deviation_counts_and_a_little_more() -> None:
    """What was not seen may be larger, the more so the fewer steps there were."""
    few = jitter_of([Reading(8, (990, 1010))])
    many = jitter_of([Reading(8, (990, 1010) * 20)])

    assert few > many > 0.01


def test_one_step_says_nothing_about_jitter() -> None:
    """It does not differ from itself."""
    assert jitter_of([Reading(8, (1000,)), Reading(16, (5000,))]) == 0.002


@pytest.mark.parametrize(("peaks", "differ"), [((1000, 1000), False), ((1000, 1000.5), False), ((1000, 1004), True)])
def test_steps_jitter_when_they_differ_by_what_counts(peaks: tuple[int, ...], differ: bool) -> None:
    """Half of 0.2 %."""
    assert jitters([Reading(8, peaks)]) is differ


def test_no_readings_do_not_jitter() -> None:
    """As before the first run."""
    assert not jitters([])


def test_one_peak_bounds_by_what_is_held() -> None:
    """The line from (0, held) through the peak, with what a step may be higher, is the steepest that there is."""
    limit = largest_within(readings((10, 2_000)), 101_000, 1_000)

    assert 0.97 * 1000 <= limit < 1000


def test_the_true_line_lies_below_the_bound() -> None:
    """A constant workspace that is not held makes the bound careful, never bold."""
    constant, per_sample = 3_000, 10
    limit = largest_within(readings((100, constant + per_sample * 100)), 50_000, 1_000)

    assert constant + per_sample * limit < 50_000


def test_three_on_a_line_are_trusted_beyond_the_bound() -> None:
    """The constant is known then."""
    three = readings((10, 30_100), (100, 31_000), (1000, 40_000), steps=12)

    assert largest_within(three, 100_000, 0) > largest_within(three[-1:], 100_000, 0)


def test_two_are_no_proof_of_a_line() -> None:
    """Any two peaks lie on one."""
    two = readings((10, 30_100), (1000, 40_000), steps=12)

    assert largest_within(two, 100_000, 0) == largest_within(two[-1:], 100_000, 0)


def test_a_peak_that_sags_below_the_line_is_no_line() -> None:
    """Memory grows faster at the end, so only what is held bounds it."""
    bent = readings((10, 30_100), (500, 30_200), (1000, 40_000), steps=12)

    assert largest_within(bent, 100_000, 0) == largest_within(bent[-1:], 100_000, 0)


def test_flat_peaks_are_no_line() -> None:
    """Nothing that grows was seen."""
    flat = readings((10, 30_000), (100, 30_000), (1000, 30_000), steps=12)

    assert largest_within(flat, 100_000, 29_000) == largest_within(flat[-1:], 100_000, 29_000)


def test_where_nothing_grows_twice_the_size_is_tried() -> None:
    """The peak is not above what is held."""
    assert largest_within(readings((10, 900)), 100_000, 1_000) == 20


def test_more_jitter_means_fewer_samples() -> None:
    """The highest step must fit."""
    steady = [Reading(size, (1000 * size,) * 12) for size in (10, 20, 40)]
    shaky = [Reading(size, (995 * size, 1005 * size) * 6) for size in (10, 20, 40)]

    assert largest_within(shaky, 10**6, 0) < largest_within(steady, 10**6, 0)


def test_memory_in_pieces_leaves_a_piece_free() -> None:
    """And the slope may be steeper by one."""
    three = readings((10, 30_100), (100, 31_000), (1000, 40_000), steps=12)
    limit = largest_within(three, 100_000, 0, grain_bytes=2_000)

    assert 30_000 + 10 * limit + 2_000 <= 100_000
    assert limit < largest_within(three, 100_000, 0)


@pytest.mark.parametrize("seed", range(30))
def test_evenly_spread_jitter_is_never_underestimated_by_much(seed: int) -> None:
    """From 24 steps on, the share that is taken covers what a step can be off."""
    chance = random.Random(seed)
    seen = [
        Reading(size, tuple(int(10**9 * (1 + 0.005 * chance.uniform(-1, 1))) for _ in range(12))) for size in (8, 64)
    ]

    assert jitter_of(seen) >= 0.0045
