"""Blocks, their neighbours, and the order in which pools keep the free ones."""

from __future__ import annotations

import pytest

from bigmodel_lab.memory._blocks import FREE, AgingCache, Block, Cache, Pools
from bigmodel_lab.memory._stats import Stats
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20


def made(**settings: object) -> Pools:
    """The pools of an allocator with these settings."""
    chosen = AllocatorSettings(**settings)  # type: ignore[arg-type]
    return Pools(chosen, Stats(chosen))


@pytest.fixture
def cache() -> Cache:
    """Free blocks of the large pool, stream 0."""
    return made().large.cache(0)


def test_a_cut_block_is_followed_by_its_rest(cache):
    """Both know each other, and the rest is free."""
    block = Block(1000, 300, cache)
    rest = block.cut(100)

    assert (block.address, block.size, rest.address, rest.size, rest.state) == (1000, 100, 1100, 200, FREE)
    assert (block.next, rest.prev, rest.next) == (rest, block, None)


def test_a_cut_in_the_middle_keeps_what_follows(cache):
    """Three in a row."""
    first = Block(0, 300, cache)
    last = first.cut(200)
    middle = first.cut(100)

    assert (first.next, middle.next, last.prev) == (middle, last, middle)


def test_absorbing_undoes_a_cut(cache):
    """The block is whole again, and alone."""
    block = Block(0, 300, cache)
    block.cut(100)
    block.absorb_next()

    assert (block.size, block.next, block.is_split()) == (300, None, False)


def test_absorbing_links_what_follows(cache):
    """The next but one becomes the next."""
    first = Block(0, 300, cache)
    last = first.cut(200)
    first.cut(100)
    first.absorb_next()

    assert (first.next, last.prev, first.is_split(), last.is_split()) == (last, first, True, True)


def test_free_blocks_are_sorted_by_size_then_by_address(cache):
    """BlockComparatorSize."""
    blocks = [Block(address, size, cache) for address, size in ((9 << 40, 512), (1, 1 << 40), (7, 512), (8, 1024))]
    for block in blocks:
        cache.add(block)

    assert [(block.size, block.address) for block in cache.sorted_blocks()] == [
        (512, 7),
        (512, 9 << 40),
        (1024, 8),
        (1 << 40, 1),
    ]


def test_a_removed_block_is_gone(cache):
    """The others stay."""
    stays, goes = Block(0, 512, cache), Block(512, 512, cache)
    cache.add(stays)
    cache.add(goes)
    cache.remove(goes)

    assert cache.sorted_blocks() == [stays]
    assert len(cache.keys) == len(cache.blocks) == 1


def test_blocks_know_their_age_where_garbage_is_collected():
    """The clock is the number of searches in the pool."""
    pool = made(garbage_collection_threshold=0.5).large
    cache = pool.cache(0)
    pool.searches = 7
    block = Block(0, 512, cache)
    cache.add(block)

    assert isinstance(cache, AgingCache)
    assert block.inserted == 7


def test_a_stream_has_one_cache_in_a_pool(cache):
    """Asked for again, it is the same."""
    assert cache.pool.cache(0) is cache
    assert cache.pool.cache(1) is not cache


def test_blocks_of_a_pool_are_sorted_by_stream_first():
    """However the streams came."""
    pool = made().large
    for stream, size in ((2, 512), (0, 2048), (1, 1024)):
        pool.cache(stream).add(Block(stream << 20, size, pool.cache(stream)))

    assert [block.size for block in pool.sorted_blocks()] == [2048, 1024, 512]


@pytest.mark.parametrize(
    ("settings", "small", "large"),
    [({}, 0, MIB), ({"expandable_segments": True}, 0, 0), ({"max_split_size_mb": 64}, 0, MIB)],
)
def test_what_is_kept_with_a_block(settings, small, large):
    """should_split: a rest up to this size is not cut off."""
    pools = made(**settings)

    assert (pools.small.keep, pools.large.keep) == (small, large)


def test_pages_of_expandable_segments():
    """2 MiB in small pools, the large segment in large ones."""
    pools = made(large_segment_size_mb=32)

    assert (pools.small.page_bytes, pools.large.page_bytes) == (2 * MIB, 32 * MIB)


def test_private_pools_go_back_when_they_are_released():
    """release_cached_blocks: the large and the small common pool, then freeable ones, small before large."""
    pools = made()
    kept, freed = pools.of(1), pools.of(2)
    pools.release(2)
    pools.release(2)
    pools.release(99)

    assert list(pools.releasable()) == [pools.large, pools.small, *freed]
    assert not set(kept) & set(pools.releasable())


def test_a_private_pool_keeps_its_number():
    """Small and large of the same number belong together."""
    small, large = made().of(5)

    assert (small.private_pool, large.private_pool, small.is_small, large.is_small) == (5, 5, True, False)
