"""What holds for the snapshot of every program, and of special allocators."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import live_at, replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.memory.snapshot import read_snapshot
from tests.memory.snapshots import snapshot_of
from tests.memory.traces import MIB, random_traces

quick = settings(max_examples=30, deadline=None)


@given(random_traces())
@quick
def test_a_whole_recording_is_the_trace(trace):
    """Sequence, sizes, allocated and reserved bytes come back exactly."""
    seen = read_snapshot(snapshot_of(trace))
    assert seen.allocated == replay(trace).allocated

    assert seen.trace.sequence == trace.sequence
    assert [a.bytes for a in seen.trace.allocations] == [a.bytes for a in trace.allocations]
    assert seen.reserved == replay(trace).reserved


@given(random_traces(), st.data())
@quick
def test_the_end_does_not_depend_on_the_beginning(trace, data):
    """Wherever the recording begins, what is alive at the end has the length of its blocks, to the byte."""
    begin = data.draw(st.integers(0, len(trace.sequence) - 1))
    seen = read_snapshot(snapshot_of(trace, recorded_from=begin))
    played = replay(trace)

    assert (seen.allocated[-1], seen.reserved[-1]) == (played.allocated[-1], played.reserved[-1])
    alive = live_at(seen.trace, len(seen.trace.sequence) - 1)
    assert sorted(seen.trace.allocations[n].bytes for n in alive) == sorted(
        trace.allocations[n].bytes for n in live_at(trace, len(trace.sequence) - 1)
    )


@given(random_traces(), st.data())
@quick
def test_amounts_are_never_negative_nor_above_what_is_reserved(trace, data):
    """Allocated stays between nothing and reserved from the first recorded entry on."""
    begin = data.draw(st.integers(0, len(trace.sequence) - 1))
    seen = read_snapshot(snapshot_of(trace, recorded_from=begin))

    assert all(0 <= allocated <= reserved for allocated, reserved in zip(seen.allocated, seen.reserved, strict=True))


@given(random_traces(), st.data())
@quick
def test_every_block_in_use_has_its_owner(trace, data):
    """On the map of a snapshot no block in use is without an allocation of the same size."""
    begin = data.draw(st.integers(0, len(trace.sequence) - 1))
    seen = read_snapshot(snapshot_of(trace, recorded_from=begin))

    for segment in seen.segments:
        for block in segment.blocks:
            known = None if block.owner is None else seen.trace.allocations[block.owner].bytes
            assert known == (block.requested_bytes if block.state == "active_allocated" else None)


def test_segments_that_grow_in_place_count():
    """With expandable segments the recorded maps are what reserved grows by."""
    conf = AllocatorSettings.parse("expandable_segments:True")
    trace = RequestTrace((Allocation(30 * MIB, "parameter"), Allocation(50 * MIB, "activation")), (0, 1, ~1))
    seen = read_snapshot(snapshot_of(trace, allocator=CachingAllocator(conf, capacity_bytes=2**30, recording=True)))
    played = replay(trace, CachingAllocator(conf, capacity_bytes=2**30))

    assert seen.reserved == played.reserved
    assert all(segment.is_expandable for segment in seen.segments)


def test_what_is_given_back_to_the_driver_leaves_reserved():
    """A segment that was freed before the next request is gone from then on."""
    allocator = CachingAllocator(recording=True)
    large = allocator.allocate(40 * MIB, owner=0)
    allocator.free(large)
    allocator.empty_cache()
    allocator.allocate(12 * MIB, owner=1)
    history = [{"action": e.action, "addr": e.address, "size": e.bytes, "stream": e.stream} for e in allocator.entries]
    taken = snapshot_of(RequestTrace((), ()), allocator=allocator)
    taken["device_traces"] = [history]

    assert read_snapshot(taken).reserved == (40 * MIB, 40 * MIB, 12 * MIB)


def test_streams_and_private_pools_are_kept():
    """A block of another stream or of a CUDA graph lies in a segment of its own."""
    allocator = CachingAllocator(recording=True)
    allocator.allocate(MIB, stream=5)
    allocator.allocate(MIB, private_pool=3)
    seen = read_snapshot(snapshot_of(RequestTrace((), ()), allocator=allocator))

    assert sorted((segment.stream, segment.private_pool) for segment in seen.segments) == [(0, 3), (5, 0)]
