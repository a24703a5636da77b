"""What happens when memory runs out: cached memory goes back, then the request fails.

Rules of c10/cuda/CUDACachingAllocator.cpp; each test names the function there that says so.
"""

from __future__ import annotations

import pytest

from bigmodel_lab.errors import ConfigError, OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator, Driver
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20


def made(capacity: int | None, conf: str = "") -> CachingAllocator:
    """An empty allocator on a card with so many MiB."""
    size = None if capacity is None else capacity * MIB
    return CachingAllocator(AllocatorSettings.parse(conf), capacity_bytes=size, recording=True)


def cached(card: CachingAllocator, *sizes: int) -> None:
    """Leaves free segments of so many MiB."""
    for address in [card.allocate(size * MIB) for size in sizes]:
        card.free(address)


def segments(card: CachingAllocator) -> list[tuple[str, int]]:
    """What came from and went back to the driver, in MiB."""
    return [
        (e.action.removeprefix("segment_"), e.bytes // MIB) for e in card.entries if e.action.startswith("segment_")
    ]


# ---------------------------------------------------------------- retry and out of memory


def test_cached_segments_go_back_before_a_request_fails():
    """malloc: release_cached_blocks, then alloc_block with isRetry."""
    card = made(30)
    cached(card, 20)
    card.allocate(22 * MIB)

    assert segments(card) == [("alloc", 20), ("free", 20), ("alloc", 22)]
    assert (card.stats()["num_alloc_retries"], card.stats()["num_ooms"]) == (1, 0)


def test_a_segment_in_use_stays():
    """release_blocks: only segments that are not split."""
    card = made(30)
    card.allocate(5 * MIB)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(16 * MIB)

    assert card.reserved_bytes == 20 * MIB


def test_an_error_knows_what_did_not_fit():
    """malloc: the message of OutOfMemoryError has the size of the segment, not of the request."""
    card = made(30)
    card.allocate(6 * MIB)
    with pytest.raises(OutOfDeviceMemory, match="15 MiB does not fit: it needs 16 MiB") as caught:
        card.allocate(15 * MIB)
    error = caught.value

    assert (error.requested_bytes, error.segment_bytes) == (15 * MIB, 16 * MIB)
    assert (error.allocated_bytes, error.reserved_bytes, error.capacity_bytes) == (6 * MIB, 20 * MIB, 30 * MIB)
    assert isinstance(error, MemoryError)


def test_a_failed_request_is_noted_with_what_the_card_had_left():
    """record_trace(OOM): the free memory in place of an address, the size after rounding."""
    card = made(30)
    card.allocate(5 * MIB)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(15 * MIB + 1)

    assert card.entries[-1] == ("oom", 10 * MIB, 15 * MIB + 512, 0)
    assert (card.stats()["num_ooms"], card.stats()["num_alloc_retries"]) == (1, 1)


def test_the_allocator_works_on_after_a_failure():
    """A program may catch the error, free something and ask again."""
    card = made(30)
    held = card.allocate(20 * MIB)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(12 * MIB)
    card.free(held)

    assert card.allocate(12 * MIB) == held


def test_blocks_that_other_streams_use_are_waited_for():
    """release_cached_blocks: synchronize_and_free_events first."""
    card = made(30)
    card.free_later(card.allocate(20 * MIB))
    card.allocate(22 * MIB)

    assert card.reserved_bytes == 22 * MIB


def test_nothing_goes_back_while_a_graph_is_captured():
    """malloc: release_cached_blocks is left out while captures are under way."""
    card = made(30)
    cached(card, 20)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(12 * MIB, private_pool=1)

    assert (card.reserved_bytes, card.stats()["num_alloc_retries"]) == (20 * MIB, 0)


# ---------------------------------------------------------------- max_split_size


def test_an_oversize_block_serves_no_smaller_request():
    """get_free_block: not for a request below max_split_size."""
    card = made(None, "max_split_size_mb:64")
    cached(card, 100)
    card.allocate(5 * MIB)

    assert segments(card) == [("alloc", 100), ("alloc", 20)]


def test_an_oversize_block_serves_a_request_that_is_little_smaller_uncut():
    """get_free_block: up to max_non_split_rounding more; should_split: not cut."""
    card = made(None, "max_split_size_mb:64")
    cached(card, 100)
    card.allocate(81 * MIB)

    assert (card.allocated_bytes, card.reserved_bytes) == (100 * MIB, 100 * MIB)


def test_an_oversize_block_that_is_much_larger_is_left_alone():
    """get_free_block: 20 MiB more than the request is too much."""
    card = made(None, "max_split_size_mb:64")
    cached(card, 100)
    card.allocate(80 * MIB)

    assert segments(card) == [("alloc", 100), ("alloc", 80)]


def test_the_allowance_can_be_larger():
    """max_non_split_rounding_mb."""
    card = made(None, "max_split_size_mb:64,max_non_split_rounding_mb:40")
    cached(card, 100)
    card.allocate(70 * MIB)

    assert segments(card) == [("alloc", 100)]


def test_one_oversize_segment_goes_back_where_that_is_enough():
    """release_available_cached_blocks: the smallest that is large enough; this is no retry."""
    card = made(400, "max_split_size_mb:64")
    cached(card, 200, 150)
    card.allocate(100 * MIB)

    assert segments(card)[2:] == [("free", 150), ("alloc", 100)]
    assert card.stats()["num_alloc_retries"] == 0


def test_several_oversize_segments_go_back_from_the_largest_down():
    """release_available_cached_blocks: until the released bytes reach the request."""
    card = made(300, "max_split_size_mb:64")
    cached(card, 70, 120, 90)
    card.allocate(200 * MIB)

    assert segments(card)[3:] == [("free", 120), ("free", 90), ("alloc", 200)]


def test_all_goes_back_where_oversize_segments_are_not_enough():
    """malloc: release_cached_blocks after release_available_cached_blocks."""
    card = made(150, "max_split_size_mb:64")
    cached(card, 70, 30)
    card.allocate(120 * MIB)

    assert segments(card)[2:] == [("free", 70), ("free", 30), ("alloc", 120)]
    assert card.stats()["num_alloc_retries"] == 1


def test_oversize_blocks_and_segments_are_counted():
    """oversize_allocations and oversize_segments count what reaches max_split_size."""
    card = made(None, "max_split_size_mb:64")
    card.allocate(64 * MIB)
    card.free(card.allocate(70 * MIB))
    card.allocate(5 * MIB)
    stats = card.stats()

    assert [stats[f"oversize_allocations.{f}"] for f in ("current", "peak", "allocated", "freed")] == [1, 2, 2, 1]
    assert stats["oversize_segments.current"] == 2
    assert stats["max_split_size"] == 64 * MIB


# ---------------------------------------------------------------- fraction and garbage collection


def test_a_fraction_limits_what_may_be_reserved():
    """alloc_block: total_allocated_memory + size > allowed_memory_maximum."""
    card = made(100, "per_process_memory_fraction:0.5")
    card.allocate(40 * MIB)
    with pytest.raises(OutOfDeviceMemory) as caught:
        card.allocate(12 * MIB)

    assert caught.value.capacity_bytes == 50 * MIB


def test_a_fraction_is_of_the_cards_total():
    """setMemoryFraction: of totalGlobalMem, whatever others use."""
    driver = Driver(capacity_bytes=100 * MIB, total_bytes=200 * MIB)
    card = CachingAllocator(AllocatorSettings(per_process_memory_fraction=0.5), driver=driver)
    card.allocate(98 * MIB)

    assert card.reserved_bytes == 98 * MIB


def test_a_fraction_of_nothing_known_is_refused():
    """A card without end has no half."""
    with pytest.raises(ConfigError, match=r"per_process_memory_fraction is 0\.5"):
        made(None, "per_process_memory_fraction:0.5")


def test_old_segments_go_back_before_new_ones_come():
    """garbage_collect_cached_blocks: above the threshold, all of at least average age.

    Allowed are 900 MiB, the threshold is 450. Searches for a free block are the clock: the two segments of 200 MiB
    become free after search 2, the one of 220 after search 3; search 4 finds 620 MiB reserved and ages 2, 2 and 1.
    """
    card = made(1000, "garbage_collection_threshold:0.5,per_process_memory_fraction:0.9")
    cached(card, 200, 200)
    cached(card, 220)
    card.allocate(240 * MIB)

    assert segments(card)[3:] == [("free", 200), ("free", 200), ("alloc", 240)]


def test_a_second_round_takes_younger_ones():
    """garbage_collect_cached_blocks repeats with the average of those that are left.

    Threshold 90 MiB, reserved 122, ages 3 (12 MiB), 1 and 1: the first round frees the 12 MiB alone.
    """
    card = made(1000, "garbage_collection_threshold:0.1,per_process_memory_fraction:0.9")
    cached(card, 12)
    cached(card, 60, 50)
    card.allocate(70 * MIB)

    assert segments(card)[3:] == [("free", 12), ("free", 50), ("free", 60), ("alloc", 70)]


def test_garbage_stays_below_the_threshold():
    """garbage_collect_cached_blocks returns at once."""
    card = made(1000, "garbage_collection_threshold:0.9,per_process_memory_fraction:0.9")
    cached(card, 200)
    card.allocate(240 * MIB)

    assert segments(card) == [("alloc", 200), ("alloc", 240)]


def test_garbage_is_not_collected_without_a_fraction():
    """malloc: only where allowed_memory_maximum is set."""
    card = made(1000, "garbage_collection_threshold:0.1")
    cached(card, 200)
    card.allocate(240 * MIB)

    assert segments(card) == [("alloc", 200), ("alloc", 240)]


def test_a_fraction_that_is_set_later_collects_garbage_from_then_on():
    """Until then nothing is collected, and after a fraction of 1 nothing again."""
    card = made(1000, "garbage_collection_threshold:0.1")
    reserved = []
    for share in (None, 0.9, 1.0):
        if share is not None:
            card.set_memory_fraction(share)
        card.empty_cache()
        card.free(card.allocate(200 * MIB))
        card.free(card.allocate(300 * MIB))  # the 200 MiB before are garbage
        reserved.append(card.reserved_bytes // MIB)

    assert reserved == [500, 300, 500]


# ---------------------------------------------------------------- beginning with what another one held


@pytest.mark.parametrize("conf", ["", "max_split_size_mb:64", "expandable_segments:True"])
def test_an_allocator_begins_with_what_another_one_held(conf):
    """The same picture, the same counters, the same answer to what comes next."""
    first, second = made(400, conf), made(400, conf)
    kept = [first.allocate(size) for size in (700, 3 * MIB, 30 * MIB, 5 * MIB)]
    first.free(kept[1])
    first.free_later(kept[0])
    second.restore(first.segments())
    now = {name: value for name, value in first.stats().items() if name.endswith(".current")}

    assert second.segments() == first.segments()
    assert {name: second.stats()[name] for name in now} == now
    assert second.pending_frees == (kept[0],)
    assert second.allocate(2 * MIB) == first.allocate(2 * MIB)
    assert second.allocate(90 * MIB) == first.allocate(90 * MIB)
    for card in (first, second):
        card.free(kept[2])
        card.empty_cache()
    assert second.segments() == first.segments()


def test_what_another_one_held_counts_against_the_capacity():
    """Of 100 MiB 60 are taken."""
    first, second = made(100), made(100)
    first.allocate(60 * MIB)
    second.restore(first.segments())

    with pytest.raises(OutOfDeviceMemory):
        second.allocate(60 * MIB)


def test_an_allocator_that_was_used_cannot_begin_anew():
    """Its own segments would be mixed with the others."""
    card = made(100)
    card.allocate(1)

    with pytest.raises(ConfigError, match="already holds 2 MiB"):
        card.restore(())
