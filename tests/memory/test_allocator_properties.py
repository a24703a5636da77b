"""What holds whatever is asked for, and agreement with the plain rules of reference.py in every event."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator, Driver
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.memory.reference import MIB, SlowAllocator

CONFS = (
    "",
    "max_split_size_mb:32",
    "expandable_segments:True",
    "roundup_power2_divisions:[1:4,16:2,>:8]",
    "garbage_collection_threshold:0.3,per_process_memory_fraction:0.9",
    "expandable_segments:True,large_segment_size_mb:12",
)
SIZES = st.one_of(st.integers(1, 3000), st.integers(1, 2 * MIB), st.integers(1, 60 * MIB))
REQUESTS = st.lists(st.tuples(st.sampled_from("aaafflce"), SIZES, st.integers(0, 2)), max_size=30)
"""What to do, how much, on which stream (or which of the live ones: the size chooses)."""
CAPACITIES = st.one_of(st.none(), st.integers(40, 200))
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


class Session:
    """An allocator, and what a program knows of it: which address it was given for how many bytes."""

    def __init__(self, conf: str, capacity: int | None) -> None:
        total = 400 * MIB if capacity is None else capacity * MIB
        driver = Driver(None if capacity is None else total, total)
        self.allocator = CachingAllocator(AllocatorSettings.parse(conf), driver=driver, recording=True)
        self.live: dict[int, int] = {}
        self.waiting: list[int] = []
        self.failed = 0

    def run(self, requests: Sequence[tuple[str, int, int]]) -> Session:
        """Make all requests."""
        for request in requests:
            self.do(*request)
        return self

    def do(self, kind: str, size: int, stream: int) -> None:
        """Allocate, free, free later, complete, or empty the cache."""
        allocator = self.allocator
        if kind == "a":
            try:
                self.live[allocator.allocate(size, stream=stream)] = size
            except OutOfDeviceMemory:
                self.failed += 1
                self.waiting.clear()
        elif kind in "fl" and self.live:
            address = list(self.live)[size % len(self.live)]
            del self.live[address]
            (allocator.free if kind == "f" else allocator.free_later)(address)
            self.waiting += [address] if kind == "l" else []
        elif kind == "c" and self.waiting and self.pending():
            allocator.complete_free(self.waiting.pop())
        elif kind == "e":
            allocator.empty_cache()
            self.waiting.clear()

    def pending(self) -> bool:
        """Whether the block that waits for other streams is still there: a retry completes all of them."""
        waits = {b.address for s in self.allocator.segments() for b in s.blocks if b.state == "active_pending_free"}
        self.waiting = [address for address in self.waiting if address in waits]
        return bool(self.waiting)

    def finish(self) -> None:
        """Free everything and give it back."""
        for address in self.live:
            self.allocator.free(address)
        self.allocator.empty_cache()


def histories(stats: dict[str, int]) -> list[str]:
    """Names of the counters that have a history."""
    return [name.removesuffix(".current") for name in stats if name.endswith(".current")]


sessions = pytest.mark.parametrize("conf", CONFS, ids=lambda conf: conf or "defaults")


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_no_two_blocks_overlap(conf, requests, capacity):
    """Every address belongs to one block of one segment."""
    segments = Session(conf, capacity).run(requests).allocator.segments()
    ends = [(segment.address, segment.address + segment.bytes) for segment in segments]

    assert all(left[1] <= right[0] for left, right in pairwise(ends))
    for segment in segments:
        places = [segment.address]
        for block in segment.blocks:
            assert block.address == places[-1]
            places.append(block.address + block.bytes)
        assert places[-1] == segment.address + segment.bytes


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_nothing_is_lost(conf, requests, capacity):
    """Segments sum to reserved, blocks in use to allocated, and each is as large as its request."""
    session = Session(conf, capacity).run(requests)
    allocator = session.allocator
    used = {b.address: b for s in allocator.segments() for b in s.blocks if b.state == "active_allocated"}

    assert sum(segment.bytes for segment in allocator.segments()) == allocator.reserved_bytes
    assert sum(block.bytes for block in used.values()) == allocator.allocated_bytes
    assert {address: block.requested_bytes for address, block in used.items()} == session.live
    assert all(block.bytes >= block.requested_bytes for block in used.values())


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_free_neighbours_are_always_merged(conf, requests, capacity):
    """No two free blocks lie side by side in a segment."""
    for segment in Session(conf, capacity).run(requests).allocator.segments():
        states = [block.state for block in segment.blocks]
        assert ("inactive", "inactive") not in list(pairwise(states))


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_everything_goes_back_in_the_end(conf, requests, capacity):
    """Freeing all and emptying the cache leaves nothing, and every counter agrees."""
    session = Session(conf, capacity).run(requests)
    session.finish()
    stats = session.allocator.stats()

    assert (session.allocator.reserved_bytes, session.allocator.allocated_bytes, session.allocator.segments()) == (
        0,
        0,
        (),
    )
    assert [name for name, value in stats.items() if name.endswith(".current") and value] == []
    assert all(stats[f"{name}.allocated"] == stats[f"{name}.freed"] for name in histories(stats))


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_the_card_is_never_overfilled(conf, requests, capacity):
    """Reserved memory stays within the capacity, and a failure is counted."""
    session = Session(conf, capacity).run(requests)
    stats = session.allocator.stats()

    assert capacity is None or session.allocator.peak_reserved_bytes <= capacity * MIB
    assert stats["num_ooms"] == session.failed


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_counters_agree_with_what_is_there(conf, requests, capacity):
    """Peaks are never below the present, which is what grew less what shrank; all = small + large."""
    stats = Session(conf, capacity).run(requests).allocator.stats()
    for name in histories(stats):
        assert stats[f"{name}.peak"] >= stats[f"{name}.current"] >= 0
        assert stats[f"{name}.current"] == stats[f"{name}.allocated"] - stats[f"{name}.freed"]
        if name.endswith(".all"):
            pools = [stats[name.replace(".all", pool) + ".current"] for pool in (".small_pool", ".large_pool")]
            assert stats[f"{name}.current"] == sum(pools)


@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_free_parts_of_used_segments_are_counted(requests, capacity):
    """inactive_split is what empty_cache could not give back."""
    allocator = Session("", capacity).run(requests).allocator
    stats = allocator.stats()
    held = [b.bytes for s in allocator.segments() for b in s.blocks if b.state == "inactive" and len(s.blocks) > 1]

    assert stats["inactive_split_bytes.all.current"] == sum(held)
    assert stats["inactive_split.all.current"] == len(held)


@sessions
@quick
@given(requests=REQUESTS, capacity=CAPACITIES)
def test_the_same_requests_give_the_same_events(conf, requests, capacity):
    """There is no chance in it."""
    first, second = (Session(conf, capacity).run(requests).allocator for _ in range(2))

    assert first.entries == second.entries
    assert first.stats() == second.stats()


@pytest.mark.parametrize("max_split", [None, 32])
@settings(quick, max_examples=60)
@given(
    requests=st.lists(st.tuples(st.sampled_from("aaaff"), SIZES, st.integers(0, 2)), max_size=60),
    capacity=CAPACITIES,
)
def test_it_does_what_the_plain_rules_say(max_split, requests, capacity):
    """The same addresses, the same segments in the same order, the same sums after every request."""
    limit = None if capacity is None else capacity * MIB
    fast = CachingAllocator(AllocatorSettings(max_split_size_mb=max_split), capacity_bytes=limit, recording=True)
    slow = SlowAllocator(limit, max_split and max_split * MIB)
    live: list[int] = []
    for kind, size, stream in requests:
        if kind == "a":
            expected = slow.allocate(size, stream)
            try:
                address: int | None = fast.allocate(size, stream=stream)
            except OutOfDeviceMemory:
                address = None
            assert address == expected
            live += [] if address is None else [address]
        elif live:
            address = live.pop(size % len(live))
            fast.free(address)
            slow.free(address)
        assert (fast.allocated_bytes, fast.reserved_bytes) == (slow.allocated, slow.reserved)
    assert [tuple(entry[:3]) for entry in fast.entries if entry.action.startswith("segment")] == slow.did


@quick
@given(requests=st.lists(st.tuples(st.sampled_from("aaf"), SIZES, st.just(0)), max_size=40))
def test_peaks_are_the_highest_of_every_moment(requests):
    """Though peaks are noted late, none is missed."""
    session, highest = (
        Session("", None),
        dict.fromkeys(("allocated_bytes", "requested_bytes", "active", "reserved_bytes"), 0),
    )
    quiet = Session("", None).run(requests).allocator
    for request in requests:
        session.do(*request)
        now = session.allocator.stats()
        highest = {name: max(value, now[f"{name}.all.current"]) for name, value in highest.items()}
    peaks = quiet.stats()

    assert {name: peaks[f"{name}.all.peak"] for name in highest} == highest
