"""A trace of requests through the allocator, moment by moment."""

from __future__ import annotations

import pytest

from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import live_at, replay, reserves_at_most
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20


def trace(sizes: list[int], *sequence: int) -> RequestTrace:
    """Allocations of so many bytes, in this sequence."""
    return RequestTrace(tuple(Allocation(size, "temporary") for size in sizes), sequence)


STEP = trace([3 * MIB, 100, 30 * MIB], 0, 1, ~0, 2, ~1)


def test_bytes_after_each_entry():
    """One number an entry, of what is in use and of what is reserved."""
    found = replay(STEP)

    assert found.allocated == (3 * MIB, 3 * MIB + 512, 512, 30 * MIB + 512, 30 * MIB)
    assert found.reserved == (20 * MIB, 22 * MIB, 22 * MIB, 52 * MIB, 52 * MIB)


def test_the_peak_and_its_first_place():
    """Where most was in use."""
    found = replay(STEP)

    assert (found.peak_allocated_bytes, found.peak_position, found.peak_reserved_bytes) == (30 * MIB + 512, 3, 52 * MIB)
    assert found.stopped_at is None


def test_of_equal_peaks_the_first_counts():
    """The moment when the memory was needed first."""
    assert replay(trace([100, 100], 0, ~0, 1)).peak_position == 0


def test_what_is_left_has_its_owner():
    """Blocks carry the number of their allocation."""
    segments = replay(STEP).allocator.segments()

    assert [block.owner for segment in segments for block in segment.blocks if block.owner is not None] == [2]


@pytest.mark.parametrize("until", [0, 2, 5, 99])
def test_a_replay_can_end_early(until):
    """The place is not replayed any more; too far is the end."""
    assert replay(STEP, until=until).allocated == replay(STEP).allocated[:until]


def test_a_request_that_does_not_fit_ends_it():
    """The place of the request is told, and everything before it is there."""
    found = replay(STEP, CachingAllocator(capacity_bytes=25 * MIB))

    assert found.stopped_at == 3
    assert found.allocated == (3 * MIB, 3 * MIB + 512, 512)


def test_a_used_allocator_goes_on():
    """Two steps one after the other share their segments."""
    card = CachingAllocator()
    card.allocate(2 * MIB)
    found = replay(trace([5 * MIB], 0, ~0), card)

    assert found.allocator is card
    assert (found.reserved, found.peak_allocated_bytes) == ((20 * MIB, 20 * MIB), 7 * MIB)


def test_an_empty_trace_has_no_peak():
    """Nothing asked for, nothing used."""
    found = replay(trace([]))

    assert (found.allocated, found.peak_allocated_bytes, found.peak_reserved_bytes, found.peak_position) == (
        (),
        0,
        0,
        0,
    )


def test_an_allocation_without_bytes_takes_no_place():
    """Empty tensors are requests as well."""
    assert replay(trace([0, 100], 0, 1, ~0)).allocated == (0, 512, 512)


@pytest.mark.parametrize(("position", "alive"), [(-1, ()), (0, (0,)), (1, (0, 1)), (2, (1,)), (3, (1, 2)), (4, (2,))])
def test_who_is_alive(position, alive):
    """After the entry at this place."""
    assert live_at(STEP, position) == alive


def test_a_request_that_does_not_fit_leaves_the_rest_as_it_was():
    """What was in use before the failure is still there, for the picture of that moment."""
    allocator = replay(STEP, CachingAllocator(capacity_bytes=25 * MIB)).allocator
    used = [block.owner for segment in allocator.segments() for block in segment.blocks if block.owner is not None]

    assert used == [1]
    assert allocator.stats()["num_ooms"] == 1


def test_smaller_cards_give_back_before_they_fail():
    """The same requests fit on a card that has to give back cached segments on the way."""
    found = replay(STEP, CachingAllocator(capacity_bytes=36 * MIB))

    assert found.stopped_at is None
    assert (found.peak_allocated_bytes, found.peak_reserved_bytes) == (30 * MIB + 512, 32 * MIB)


@pytest.mark.parametrize("limit", [0, 2 * MIB, 22 * MIB - 1, 22 * MIB, 42 * MIB])
def test_a_limit_is_kept_where_the_peak_keeps_it(limit):
    """2 MiB for what is small, 20 for what is large; the same as a whole replay says."""
    asked = (Allocation(1000, "parameter"), Allocation(5 * MIB, "activation"), Allocation(6 * MIB, "activation"))
    trace = RequestTrace(asked, (0, 1, ~1, 2))

    assert reserves_at_most(trace, limit, AllocatorSettings()) is (replay(trace).peak_reserved_bytes <= limit)


def test_a_limit_ends_the_replay_where_it_is_passed():
    """What follows is not even looked at."""
    trace = RequestTrace((Allocation(5 * MIB, "activation"),), (0, 99))

    assert not reserves_at_most(trace, 0, AllocatorSettings())
