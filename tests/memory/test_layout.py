"""Where blocks lay before and while something was recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigmodel_lab.memory._layout import laid_out
from bigmodel_lab.memory.allocator import CachingAllocator, TraceEntry
from bigmodel_lab.memory.comparison import compare
from bigmodel_lab.memory.recording import Recording, read_recording
from bigmodel_lab.memory.segments import Block, Segment
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.memory.recorded import MIB, recorded_files

CONFS = ("", "max_split_size_mb:32", "expandable_segments:True", "roundup_power2_divisions:4")
SIZES = (1, 512, 700_000, MIB, MIB + 1, 3 * MIB, 9 * MIB, 19 * MIB + 512, 20 * MIB, 33 * MIB + 5, 50 * MIB)
quick = settings(max_examples=20, deadline=None)


def held(card: CachingAllocator) -> tuple[Segment, ...]:
    """Its segments, without owners."""
    return tuple(
        replace(segment, blocks=tuple(replace(block, owner=None) for block in segment.blocks))
        for segment in card.segments()
    )


def go(card: CachingAllocator, live: list[int], data: st.DataObject, steps: int) -> None:
    """So many requests, frees, frees that complete later, and calls of empty_cache."""
    for _ in range(steps):
        action = data.draw(st.sampled_from("aaafffle"))
        if action == "a" or not live:
            stream = data.draw(st.sampled_from((0, 0, 1)))
            live.append(card.allocate(data.draw(st.sampled_from(SIZES)), stream=stream))
        elif action == "e":
            card.empty_cache()
        else:
            address = live.pop(data.draw(st.integers(0, len(live) - 1)))
            (card.free if action == "f" else card.free_later)(address)


@pytest.mark.parametrize("conf", CONFS)
@given(data=st.data())
@quick
def test_what_was_held_before_follows_from_the_end(conf: str, data: st.DataObject) -> None:
    """The same segments; the same blocks in use, each at its place and at least as long as was asked for."""
    settings_ = AllocatorSettings.parse(conf)
    card = CachingAllocator(settings_, capacity_bytes=4096 * MIB, recording=True)
    live: list[int] = []
    go(card, live, data, 15)
    begun, before = len(card.entries), held(card)
    go(card, live, data, 15)
    found = laid_out(card.entries[begun:], held(card), settings_).beginning

    assert [replace(segment, blocks=()) for segment in found] == [replace(segment, blocks=()) for segment in before]
    assert used(found) == used(before)


def used(segments: tuple[Segment, ...]) -> list[tuple[int, int, str]]:
    """Blocks that are not free: address, request, state."""
    blocks = [block for segment in segments for block in segment.blocks if block.state != "inactive"]
    return [(block.address, block.requested_bytes, block.state) for block in blocks]


# not under max_split_size_mb: calls of empty_cache cannot always be told there (see compare)
@pytest.mark.parametrize("conf", [conf for conf in CONFS if "max_split" not in conf])
@given(data=st.data())
@quick
def test_a_recording_from_the_middle_is_reproduced(conf: str, data: st.DataObject) -> None:
    """An allocator that begins with what was there does the same from there on, and ends with the same picture."""
    card = CachingAllocator(AllocatorSettings.parse(conf), capacity_bytes=4096 * MIB, recording=True)
    live: list[int] = []
    go(card, live, data, 15)
    begun = len(card.entries)
    go(card, live, data, 15)
    made = Recording(tuple(card.entries[begun:]), conf, total_bytes=4096 * MIB, end=held(card))
    found = compare(made)

    assert (found.position, found.recorded, found.simulated) == (None, None, None)
    assert held(found.allocator) == held(card)


@pytest.mark.parametrize("path", recorded_files(), ids=lambda path: path.name)
def test_lengths_of_recorded_blocks_are_those_of_the_allocator(path) -> None:
    """Added up, what each recording holds in the end is what it holds by its picture."""
    recording = read_recording(path)
    layout = laid_out(recording.events, recording.end, AllocatorSettings.parse(recording.settings))
    lengths = iter(layout.lengths)
    live = {address: block.bytes for address, block in layout.earlier.items() if block.state == "active_allocated"}
    for event in recording.events:
        if event.action == "alloc":
            live[event.address] = next(lengths)
        elif event.action == "free_requested":
            del live[event.address]
    blocks = [block for segment in recording.end for block in segment.blocks if block.state == "active_allocated"]

    assert live == {block.address: block.bytes for block in blocks}


BASE = 0x7F00_0000_0000
WHOLE = Segment(BASE, 40 * MIB, "large", 0, (Block(BASE, 40 * MIB, 0, "inactive"),))


def freed(address: int, size: int) -> list[TraceEntry]:
    """A free that completes at once."""
    return [TraceEntry("free_requested", address, size, 0), TraceEntry("free_completed", address, size, 0)]


def test_a_block_from_before_is_as_long_as_the_next_one_shows() -> None:
    """Its neighbour was given back before the recording; what is put behind it while it is in use shows its end."""
    behind = BASE + 20 * MIB + 512 * 1024
    events = [TraceEntry("alloc", behind, 2 * MIB, 0), *freed(behind, 2 * MIB), *freed(BASE, 20 * MIB)]
    (first, rest) = laid_out(events, [WHOLE], AllocatorSettings()).beginning[0].blocks

    assert (first.bytes, first.requested_bytes) == (20 * MIB + 512 * 1024, 20 * MIB)
    assert rest.state == "inactive"


def test_without_such_a_sign_it_is_as_long_as_its_request() -> None:
    """Nothing says otherwise."""
    assert laid_out(freed(BASE, 20 * MIB), [WHOLE], AllocatorSettings()).beginning[0].blocks[0].bytes == 20 * MIB


def test_memory_that_nobody_pictured_has_the_length_of_its_request() -> None:
    """A history without its segments is read as far as it goes."""
    assert laid_out([TraceEntry("alloc", BASE, 5 * MIB + 1, 0)], [], AllocatorSettings()).lengths == (5 * MIB + 512,)
