"""Expandable segments, worked out by hand from c10/cuda/CUDACachingAllocator.cpp, Note [Expandable Segments].

Each test names the function there that says so.
"""

from __future__ import annotations

import pytest

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20


def made(capacity: int | None = None, **settings: int) -> CachingAllocator:
    """An empty allocator with expandable segments, on a card with so many MiB."""
    return CachingAllocator(
        AllocatorSettings(expandable_segments=True, **settings),
        capacity_bytes=None if capacity is None else capacity * MIB,
        recording=True,
    )


def mapped(card: CachingAllocator) -> list[tuple[str, int, int]]:
    """What was mapped and unmapped: address and length in MiB, counted from the first."""
    found = [e for e in card.entries if e.action in ("segment_map", "segment_unmap")]
    return [(e.action.removeprefix("segment_"), (e.address - found[0].address) // MIB, e.bytes // MIB) for e in found]


def test_a_large_request_maps_pages_of_20_mib():
    """ExpandableSegment::map rounds up to whole pages."""
    card = made()
    card.allocate(33 * MIB)

    assert (mapped(card), card.reserved_bytes) == ([("map", 0, 40)], 40 * MIB)


def test_a_small_request_maps_a_page_of_2_mib():
    """find_expandable_block: kSmallBuffer in the small pool."""
    card = made()
    card.allocate(100)

    assert mapped(card) == [("map", 0, 2)]


def test_pages_have_the_size_of_the_large_segment():
    """find_expandable_block: large_segment_size in the large pool."""
    card = made(large_segment_size_mb=32)
    card.allocate(2 * MIB)

    assert mapped(card) == [("map", 0, 32)]


def test_a_segment_grows_in_place():
    """try_allocate_expandable_block: the free end is used, only what is missing is mapped behind it."""
    card = made()
    first, second = card.allocate(3 * MIB), card.allocate(18 * MIB)

    assert second == first + 3 * MIB
    assert mapped(card) == [("map", 0, 20), ("map", 20, 20)]
    assert len(card.segments()) == 1


def test_large_blocks_are_cut_to_512_bytes():
    """should_split: a rest of 512 B is kept in large pools too."""
    card = made()
    card.allocate(20 * MIB - 512)

    assert card.allocated_bytes == 20 * MIB - 512
    assert [block.bytes for block in card.segments()[0].blocks] == [20 * MIB - 512, 512]


def test_each_stream_and_pool_has_its_segment():
    """find_expandable_block looks through the unmapped blocks of its own pool and stream."""
    card = made()
    for size, stream in ((3 * MIB, 0), (100, 0), (3 * MIB, 1)):
        card.allocate(size, stream=stream)

    assert [(segment.pool, segment.stream) for segment in card.segments()] == [("large", 0), ("small", 0), ("large", 1)]


def test_a_block_that_can_grow_is_spared():
    """get_free_block: for the best fit the end of the segment counts with all it could grow to."""
    card = made()
    front = card.allocate(4 * MIB)
    card.allocate(3 * MIB // 2)
    card.allocate(12 * MIB)  # leaves 2.5 MiB at the end, a closer fit for 2 MiB than the 4 MiB in front
    card.free(front)

    assert card.allocate(2 * MIB) == front


def test_only_whole_pages_go_back():
    """ExpandableSegment::unmap: pages that lie wholly inside a free block."""
    card = made()
    card.allocate(3 * MIB)
    end = card.allocate(30 * MIB)
    card.free(end)
    card.empty_cache()

    assert mapped(card) == [("map", 0, 20), ("map", 20, 20), ("unmap", 20, 20)]
    assert [block.bytes // MIB for block in card.segments()[0].blocks] == [3, 17]


def test_a_hole_in_the_middle_goes_back():
    """unmap_block: the free ends before and after the pages stay."""
    card = made()
    addresses = [card.allocate(size * MIB) for size in (15, 30, 15)]
    card.free(addresses[1])
    card.empty_cache()

    assert mapped(card)[-1] == ("unmap", 20, 20)
    assert [(segment.address - addresses[0]) // MIB for segment in card.segments()] == [0, 40]
    assert [block.bytes // MIB for segment in card.segments() for block in segment.blocks] == [15, 5, 5, 15]


def test_a_hole_is_filled_before_the_segment_grows():
    """find_expandable_block: the lowest address with room, free blocks before it included."""
    card = made()
    addresses = [card.allocate(size * MIB) for size in (15, 30, 15)]
    card.free(addresses[1])
    card.empty_cache()

    assert card.allocate(28 * MIB) == addresses[1]
    assert mapped(card)[-1] == ("map", 20, 20)
    assert card.reserved_bytes == 60 * MIB


def test_all_pages_go_back_when_nothing_is_in_use():
    """release_expandable_segment: the addresses are given up too."""
    card = made()
    for address in [card.allocate(size) for size in (3 * MIB, 50 * MIB, 100, 1000)]:
        card.free(address)
    card.empty_cache()

    assert (card.reserved_bytes, card.segments()) == (0, ())


def test_pages_go_back_before_a_request_fails():
    """malloc: release_cached_blocks unmaps what one stream does not use, for another one."""
    card = made(50)
    card.free(card.allocate(30 * MIB))
    card.allocate(30 * MIB, stream=1)

    assert [e.action for e in card.entries if e.action.startswith("segment")] == [
        "segment_map",
        "segment_unmap",
        "segment_map",
    ]
    assert card.stats()["num_alloc_retries"] == 1


def test_a_request_that_does_not_fit_fails():
    """alloc_block: cuMemCreate has no more pages."""
    card = made(50)
    card.allocate(30 * MIB)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(15 * MIB)

    assert card.reserved_bytes == 40 * MIB


def test_a_request_larger_than_the_addresses_fails():
    """An expandable segment reserves 1 1/8 of the card."""
    card = made(100)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(200 * MIB)

    assert card.entries[-1].action == "oom"


def test_free_pieces_of_expandable_segments_are_not_counted_as_split():
    """free_block: inactive_split leaves expandable segments out; segments counts cudaMalloc alone."""
    card = made()
    card.allocate(3 * MIB)
    stats = card.stats()

    assert stats["inactive_split_bytes.all.peak"] == stats["segment.all.peak"] == 0
    assert stats["num_device_alloc"] == 1
