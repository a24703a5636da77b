"""Statistics under the names of torch.cuda.memory_stats, worked out by hand for one small session."""

from __future__ import annotations

import pytest

from bigmodel_lab.errors import ConfigError, OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator

MIB = 1 << 20
HISTORIES = (
    "active",
    "active_bytes",
    "allocated_bytes",
    "allocation",
    "inactive_split",
    "inactive_split_bytes",
    "requested_bytes",
    "reserved_bytes",
    "segment",
)
"""Of each pool: torch/csrc/cuda/Module.cpp, THCPModule_memoryStats."""
SCALARS = (
    "max_split_size",
    "num_alloc_retries",
    "num_device_alloc",
    "num_device_free",
    "num_oom_rejections",
    "num_ooms",
    "num_sync_all_streams",
)
FIELDS = ("current", "peak", "allocated", "freed")


@pytest.fixture
def stats() -> dict[str, int]:
    """Two large blocks and a small one; the first large block comes back and is cut for a smaller request."""
    card = CachingAllocator()
    first = card.allocate(4_000_000)  # 4,000,256 after rounding, in a segment of 20 MiB
    card.allocate(6 * MIB)
    card.allocate(100)
    card.free(first)
    card.allocate(2 * MIB)  # from the front of the first
    return card.stats()


def test_names_are_those_of_torch(stats):
    """Every key of torch.cuda.memory_stats in PyTorch 2.13, and no other, sorted."""
    pools = [f"{name}.{pool}.{f}" for name in HISTORIES for pool in ("all", "large_pool", "small_pool") for f in FIELDS]
    oversize = [f"{name}.{f}" for name in ("oversize_allocations", "oversize_segments") for f in FIELDS]

    assert list(stats) == sorted([*pools, *oversize, *SCALARS])


@pytest.mark.parametrize(
    ("name", "history"),
    [
        ("allocation.all", (3, 3, 4, 1)),
        ("allocation.large_pool", (2, 2, 3, 1)),
        ("allocation.small_pool", (1, 1, 1, 0)),
        ("allocated_bytes.large_pool", (8 * MIB, 4_000_256 + 6 * MIB, 4_000_256 + 8 * MIB, 4_000_256)),
        ("allocated_bytes.all", (8 * MIB + 512, 4_000_256 + 6 * MIB + 512, 4_000_256 + 8 * MIB + 512, 4_000_256)),
        ("requested_bytes.large_pool", (8 * MIB, 4_000_000 + 6 * MIB, 4_000_000 + 8 * MIB, 4_000_000)),
        ("requested_bytes.small_pool", (100, 100, 100, 0)),
        ("active_bytes.small_pool", (512, 512, 512, 0)),
        ("segment.all", (2, 2, 2, 0)),
        ("reserved_bytes.all", (22 * MIB, 22 * MIB, 22 * MIB, 0)),
        # free pieces of the large segment: the end; the freed front; what is left of that front
        ("inactive_split.large_pool", (2, 2, 2, 0)),
        ("inactive_split_bytes.small_pool", (2 * MIB - 512, 2 * MIB - 512, 2 * MIB - 512, 0)),
        # most when the segment was cut for the first time; the front adds itself when it comes back
        ("inactive_split_bytes.large_pool", (12 * MIB, 20 * MIB - 4_000_256, 20 * MIB, 8 * MIB)),
    ],
)
def test_a_session_by_hand(stats, name, history):
    """alloc_found_block, free, free_block: what each adds and takes away."""
    assert tuple(stats[f"{name}.{field}"] for field in FIELDS) == history


def test_no_limit_reads_minus_one(stats):
    """max_split_size is the largest size_t, which torch reads as a signed number."""
    assert stats["max_split_size"] == -1


def test_a_new_allocator_has_counted_nothing():
    """Everything but the limit is zero."""
    assert {value for name, value in CachingAllocator().stats().items() if name != "max_split_size"} == {0}


def test_a_call_of_empty_cache_is_counted():
    """num_sync_all_streams counts synchronize_and_free_events."""
    card = CachingAllocator()
    card.free(card.allocate(100))
    card.empty_cache()

    assert (card.stats()["num_sync_all_streams"], card.stats()["num_device_free"]) == (1, 1)


def test_looking_at_peaks_does_not_lose_any():
    """The peak before a look, and the one after it."""
    card = CachingAllocator()
    held = card.allocate(30 * MIB)
    seen = card.peak_allocated_bytes
    card.free(held)
    card.allocate(40 * MIB)

    assert (seen, card.peak_allocated_bytes) == (30 * MIB, 40 * MIB)


def test_peaks_are_reset_to_what_is_there_now():
    """As ``torch.cuda.reset_peak_memory_stats`` does, for every pool."""
    card = CachingAllocator()
    kept = card.allocate(4 << 20)
    card.free(card.allocate(64 << 20))
    card.reset_peaks()
    stats = card.stats()

    assert card.peak_allocated_bytes == card.allocated_bytes == 4 << 20
    assert stats["reserved_bytes.all.peak"] == stats["reserved_bytes.all.current"]
    assert stats["allocated_bytes.large_pool.peak"] == 4 << 20
    card.free(kept)


def test_a_peak_after_the_reset_counts():
    """From the present value on."""
    card = CachingAllocator()
    card.free(card.allocate(64 << 20))
    card.reset_peaks()
    card.free(card.allocate(8 << 20))

    assert card.peak_allocated_bytes == 8 << 20


def test_a_share_of_the_card_can_be_set_and_taken_away():
    """Requests from then on keep to it."""
    card = CachingAllocator(capacity_bytes=100 << 20)
    card.set_memory_fraction(0.1)
    with pytest.raises(OutOfDeviceMemory):
        card.allocate(50 << 20)
    card.set_memory_fraction(1.0)

    assert card.allocate(50 << 20)


def test_a_share_of_a_card_without_end_is_refused():
    """Of what?"""
    with pytest.raises(ConfigError, match="no size"):
        CachingAllocator().set_memory_fraction(0.5)
