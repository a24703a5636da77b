"""One request after another, worked out by hand from the rules of c10/cuda/CUDACachingAllocator.cpp.

Each test names the function there that says so.
"""

from __future__ import annotations

import pytest

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.memory.allocator import CachingAllocator, TraceEntry
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20


@pytest.fixture
def card() -> CachingAllocator:
    """An empty allocator on a card without end, which notes what it does."""
    return CachingAllocator(recording=True)


def blocks(card: CachingAllocator) -> list[tuple[int, str]]:
    """Length and state of every block, by address."""
    return [(block.bytes, block.state) for segment in card.segments() for block in segment.blocks]


def did(card: CachingAllocator, *actions: str) -> list[int]:
    """Bytes of the entries of these kinds, in order."""
    return [entry.bytes for entry in card.entries if entry.action in actions]


# ---------------------------------------------------------------- segments and rounding


@pytest.mark.parametrize(
    ("size", "allocated", "reserved"),
    [
        (1, 512, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 1, 10 * MIB, 10 * MIB),  # rounded first: 10 MiB is no longer below 10 MiB
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB),
        (11 * MIB, 12 * MIB, 12 * MIB),  # exactly 1 MiB is left: not cut
        (11 * MIB - 512, 11 * MIB - 512, 12 * MIB),  # more than 1 MiB is left: cut
    ],
)
def test_a_first_request(card, size, allocated, reserved):
    """round_size, get_allocation_size, should_split."""
    card.allocate(size)

    assert (card.allocated_bytes, card.reserved_bytes) == (allocated, reserved)


def test_small_and_large_requests_never_share(card):
    """get_pool: up to 1 MiB from the small pool, although the large one has room."""
    card.allocate(2 * MIB)
    card.allocate(MIB)

    assert [segment.pool for segment in card.segments()] == ["large", "small"]


def test_the_small_pool_cuts_down_to_512_bytes(card):
    """should_split: in the small pool a rest of 512 B is kept."""
    for size in (MIB, MIB - 512, 512):
        card.allocate(size)

    assert card.reserved_bytes == card.allocated_bytes == 2 * MIB


def test_the_first_block_lies_at_the_front(card):
    """alloc_found_block: the front is handed out, the rest stays free."""
    address = card.allocate(512)

    assert address == card.segments()[0].address
    assert blocks(card) == [(512, "active_allocated"), (2 * MIB - 512, "inactive")]


def test_no_bytes_are_no_block(card):
    """raw_alloc returns nullptr for 0 bytes, and freeing that does nothing."""
    assert card.allocate(0) == 0
    card.free(0)

    assert card.entries == []


# ---------------------------------------------------------------- best fit


def test_the_smallest_block_that_is_large_enough_serves(card):
    """get_free_block: lower_bound by size."""
    large, small = card.allocate(30 * MIB), card.allocate(12 * MIB)
    card.free(large)
    card.free(small)

    assert card.allocate(11 * MIB) == small


def test_the_lowest_address_serves_among_equals(card):
    """BlockComparatorSize: by size, then by address."""
    first, second = card.allocate(12 * MIB), card.allocate(12 * MIB)
    card.free(second)
    card.free(first)

    assert (card.allocate(12 * MIB), card.allocate(12 * MIB)) == (first, second)


def test_a_block_of_its_own_stream_serves_only(card):
    """BlockComparatorSize sorts by stream first; another stream gets a segment of its own."""
    card.free(card.allocate(12 * MIB, stream=1))
    card.allocate(12 * MIB, stream=2)

    assert [segment.stream for segment in card.segments()] == [1, 2]


def test_a_larger_block_is_cut_for_a_smaller_request(card):
    """should_split: by default a large block is cut whatever its size."""
    big = card.allocate(500 * MIB)
    card.free(big)

    assert card.allocate(2 * MIB) == big
    assert blocks(card) == [(2 * MIB, "active_allocated"), (498 * MIB, "inactive")]


# ---------------------------------------------------------------- merging


def test_freed_neighbours_become_one_block(card):
    """try_merge_blocks: with the one before and the one after."""
    addresses = [card.allocate(512) for _ in range(4)]
    for address in (addresses[0], addresses[2], addresses[1]):
        card.free(address)

    assert blocks(card) == [(1536, "inactive"), (512, "active_allocated"), (2 * MIB - 2048, "inactive")]


def test_a_whole_segment_is_one_block_again(card):
    """free_block: all merges back, and the segment stays reserved."""
    for address in [card.allocate(3 * MIB) for _ in range(6)]:
        card.free(address)

    assert blocks(card) == [(20 * MIB, "inactive")]
    assert card.reserved_bytes == 20 * MIB


def test_neighbouring_segments_do_not_merge(card):
    """try_merge_blocks follows prev and next, which end with the segment."""
    for address in [card.allocate(12 * MIB), card.allocate(12 * MIB)]:
        card.free(address)

    assert blocks(card) == [(12 * MIB, "inactive")] * 2


# ---------------------------------------------------------------- giving back


def test_empty_cache_gives_back_what_is_wholly_free(card):
    """release_blocks: only segments that are not split."""
    card.free(card.allocate(12 * MIB))
    card.allocate(512)
    card.empty_cache()

    assert card.reserved_bytes == 2 * MIB
    assert did(card, "segment_free") == [12 * MIB]


def test_segments_go_back_large_pool_first_then_by_stream_and_size(card):
    """release_cached_blocks: large_blocks, small_blocks; each in the order of BlockComparatorSize."""
    for size, stream in ((512, 0), (14 * MIB, 1), (16 * MIB, 0), (12 * MIB, 0)):
        card.free(card.allocate(size, stream=stream))
    card.empty_cache()

    # the 12 MiB were cut from the 16 MiB, so no segment of 12 MiB exists
    assert did(card, "segment_free") == [16 * MIB, 14 * MIB, 2 * MIB]


def test_a_block_that_another_stream_uses_is_not_reused_yet(card):
    """Function free with stream_uses: allocated at once no more, active until the event has passed."""
    address = card.allocate(12 * MIB)
    card.free_later(address)

    assert card.allocate(12 * MIB) != address
    assert card.stats()["active_bytes.all.current"] == 24 * MIB
    assert card.allocated_bytes == 12 * MIB
    assert blocks(card)[0] == (12 * MIB, "active_pending_free")


def test_a_completed_free_makes_the_block_reusable(card):
    """process_events: free_block when the last event has passed."""
    address = card.allocate(12 * MIB)
    card.free_later(address)
    card.complete_free(address)

    assert card.allocate(12 * MIB) == address
    assert [e.action for e in card.entries] == ["segment_alloc", "alloc", "free_requested", "free_completed", "alloc"]


def test_empty_cache_waits_for_other_streams(card):
    """release_cached_blocks: synchronize_and_free_events first."""
    card.free_later(card.allocate(12 * MIB))
    card.empty_cache()

    assert card.reserved_bytes == 0


@pytest.mark.parametrize("call", ["free", "free_later", "complete_free"])
def test_an_address_where_nothing_is_allocated_is_refused(card, call):
    """A block is given back once."""
    address = card.allocate(512)
    card.free(address)
    with pytest.raises(ConfigError, match="No block at address 0x7f"):
        getattr(card, call)(address)


def test_a_negative_size_is_refused(card):
    """There is no such request."""
    with pytest.raises(ConfigError, match="-1 bytes cannot be allocated"):
        card.allocate(-1)


# ---------------------------------------------------------------- private pools


def test_a_private_pool_shares_nothing_with_the_common_one(card):
    """get_pool: while a graph is captured its requests go to its own pools."""
    card.free(card.allocate(512))
    card.allocate(512, private_pool=1)

    assert [segment.private_pool for segment in card.segments()] == [0, 1]


def test_a_private_pool_is_kept_until_its_graph_is_gone(card):
    """release_cached_blocks frees graph_pools_freeable only."""
    card.free(card.allocate(512, private_pool=1))
    card.empty_cache()
    kept = card.reserved_bytes
    card.release_private_pool(1)
    card.empty_cache()

    assert (kept, card.reserved_bytes) == (2 * MIB, 0)


# ---------------------------------------------------------------- settings and what is told


def test_divisions_round_what_is_asked_for():
    """round_size with roundup_power2_divisions."""
    card = CachingAllocator(AllocatorSettings.parse("roundup_power2_divisions:4"))
    card.allocate(33 * MIB)

    assert card.allocated_bytes == 40 * MIB


def test_a_larger_large_segment_holds_more():
    """large_segment_size_mb."""
    card = CachingAllocator(AllocatorSettings(large_segment_size_mb=64))
    for _ in range(8):
        card.allocate(8 * MIB)

    assert card.reserved_bytes == 64 * MIB


def test_entries_come_in_torchs_order(card):
    """record_trace: segment_alloc before alloc; a free is requested, then completed."""
    address = card.allocate(1000, stream=3)
    card.free(address)

    assert card.entries == [
        TraceEntry("segment_alloc", address, 2 * MIB, 3),
        TraceEntry("alloc", address, 1000, 3),
        TraceEntry("free_requested", address, 1000, 3),
        TraceEntry("free_completed", address, 1000, 3),
    ]


def test_nothing_is_noted_without_recording():
    """Entries cost memory."""
    card = CachingAllocator()
    card.free(card.allocate(1000))

    assert card.entries == []


def test_a_block_knows_its_owner_while_it_is_in_use(card):
    """For pictures: whose it is, and what was asked for."""
    first = card.allocate(1000, owner=7)
    card.allocate(10, owner=8)
    card.free(first)

    assert [(block.owner, block.requested_bytes) for block in card.segments()[0].blocks] == [
        (None, 0),
        (8, 10),
        (None, 0),
    ]


def test_asking_whether_a_block_is_reused_changes_nothing(card):
    """A question about the cache leaves it alone."""
    card.free(card.allocate(12 * MIB))

    assert (card.reuses(12 * MIB), card.reuses(13 * MIB), card.reuses(12 * MIB, stream=1)) == (True, False, False)
    assert blocks(card) == [(12 * MIB, "inactive")]


def test_peaks_outlive_what_made_them(card):
    """The peaks of memory_stats."""
    card.free(card.allocate(30 * MIB))
    card.empty_cache()

    assert (card.peak_allocated_bytes, card.peak_reserved_bytes) == (30 * MIB, 30 * MIB)
    assert (card.allocated_bytes, card.reserved_bytes) == (0, 0)
