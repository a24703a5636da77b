"""What holds for the timeline of every trace."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigmodel_lab.memory.categories import SHOWN
from bigmodel_lab.memory.replay import live_at, replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.timeline import blocks_at, by_category_at, by_module_at, largest_at, timeline
from tests.memory.test_timeline import Given
from tests.memory.traces import random_traces

quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def up_and_down(seed):
    """Sizes of a long walk, upwards as often as downwards."""
    sizes = np.random.default_rng(seed).integers(-40, 40, 600)
    return [int(size) or 1 for size in sizes]


def walk(changes):
    """A trace of single allocations whose allocated bytes go up and down by these sizes, and its amounts."""
    allocations, sequence, alive, allocated, total = [], [], [], [], 0
    for nth, size in enumerate(changes):
        if size < 0 and alive:
            number = alive.pop(size % len(alive))
            sequence.append(~number)
            total -= allocations[number].bytes
        else:
            allocations.append(Allocation(512 * abs(size), SHOWN[nth % 6]))
            alive.append(len(allocations) - 1)
            sequence.append(alive[-1])
            total += 512 * abs(size)
        allocated.append(total)
    reserved = tuple(accumulate(allocated, max))
    return RequestTrace(tuple(allocations), tuple(sequence)), Given(tuple(allocated), reserved)


@given(random_traces())
@quick
def test_categories_always_add_up(trace):
    """At every moment the categories add up to the allocated bytes, none is negative."""
    played = replay(trace)
    seen = timeline(trace, played)

    assert [sum(at_once) for at_once in zip(*seen.by_category.values(), strict=True)] == list(played.allocated)
    assert min(min(series) for series in seen.by_category.values()) >= 0


@given(random_traces(), st.data())
@quick
def test_one_moment_is_the_same_in_every_view(trace, data):
    """By category, by module and by block, a moment has the same sum, that of the allocator."""
    at = data.draw(st.integers(0, len(trace.sequence) - 1))
    played = replay(trace)

    assert sum(by_category_at(trace, played, at).values()) == played.allocated[at]
    assert sum(by_module_at(trace, played, at, 1).values()) == played.allocated[at]
    assert tuple(blocks_at(trace, played, at)) == live_at(trace, at)


@given(random_traces(), st.data())
@quick
def test_a_moment_of_the_timeline_is_that_moment(trace, data):
    """The stack at a position is what by_category_at says of it."""
    played = replay(trace)
    seen = timeline(trace, played)
    place = data.draw(st.integers(0, len(seen.positions) - 1))
    at_once = {name: series[place] for name, series in seen.by_category.items() if series[place]}

    assert at_once == by_category_at(trace, played, seen.positions[place])


@given(random_traces(), st.integers(1, 12))
@quick
def test_nothing_alive_is_larger_than_the_largest(trace, count):
    """What is alive and not among the largest is not larger than the last of them."""
    at = len(trace.sequence) - 1
    largest = largest_at(trace, at, count)
    alive = [trace.allocations[number].bytes for number in live_at(trace, at)]

    assert [one.bytes for one in largest] == sorted(alive, reverse=True)[:count]


@given(seeds, st.integers(32, 120))
@quick
def test_no_line_loses_its_extremes(seed, points):
    """However few moments are kept, the lowest and highest of every line over the whole trace are among them."""
    trace, amounts = walk(up_and_down(seed))
    full, few = timeline(trace, amounts, 1000), timeline(trace, amounts, points)

    assert len(few.positions) <= points
    for name, series in full.by_category.items():
        assert (min(few.by_category[name]), max(few.by_category[name])) == (min(series), max(series))
    assert (min(few.allocated), max(few.allocated)) == (min(full.allocated), max(full.allocated))
    assert max(few.reserved) == max(full.reserved)


@given(seeds)
@quick
def test_every_part_keeps_its_height(seed):
    """The highest and lowest of each eighth of a trace are kept at their place, give or take an eighth."""
    trace, amounts = walk(up_and_down(seed))
    seen = timeline(trace, amounts, 200)
    part = len(amounts.allocated) // 8

    for start in range(0, len(amounts.allocated), part):
        true = amounts.allocated[start : start + part]
        kept = [
            allocated
            for position, allocated in zip(seen.positions, seen.allocated, strict=True)
            if start - part <= position < start + 2 * part
        ]
        assert min(kept) <= min(true)
        assert max(true) <= max(kept)


@given(random_traces())
@quick
def test_phases_cover_what_comes_after_the_first_mark(trace):
    """From the first mark on every position has exactly one phase, and its peaks are true."""
    played = replay(trace)
    seen = timeline(trace, played)

    assert all(a.stop == b.start for a, b in pairwise(seen.phases))
    for span in seen.phases:
        assert span.peak_allocated_bytes == max(played.allocated[span.start : span.stop])
        assert span.peak_reserved_bytes == max(played.reserved[span.start : span.stop])


@pytest.mark.parametrize("count", [31, 32, 33, 899, 900, 901, 5000])
def test_the_number_of_moments_is_kept_at_every_length(count):
    """Just below, at and above the limit, and far above it."""
    seen = timeline(*walk([(-1) ** n * (1 + n % 9) for n in range(count)]))

    assert len(seen.positions) <= 900
    assert len(seen.positions) == count or count > 900
