"""An allocator that begins with what another one held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from bigmodel_lab.memory import segments as shown
from bigmodel_lab.memory._blocks import ALLOCATED, FREE, PENDING, UNMAPPED, Block, Cache, Pools
from bigmodel_lab.memory._device import DeviceMemory
from bigmodel_lab.memory._stats import Stats
from bigmodel_lab.memory.segments import Segment

_STATES = {"active_allocated": ALLOCATED, "active_pending_free": PENDING, "inactive": FREE}


def restored(memory: DeviceMemory, pools: Pools, segments: Iterable[Segment], stats: Stats) -> Iterator[Block]:
    """Put segments and their blocks into an empty allocator; yields the blocks that are not free.

    Args:
        memory: Takes the segments.
        pools: Take the free blocks.
        segments: In any order, as a picture shows them.
        stats: Count all of it.
    """
    ordered = sorted(segments, key=lambda segment: segment.address)
    for segment in ordered:
        if not segment.is_expandable:
            cache = pools.of(segment.private_pool)[segment.pool == "large"].cache(segment.stream)
            memory.adopt(cache, segment.address, segment.bytes)
            yield from _chained(memory, cache, segment.address, _blocks(segment, cache), stats)
    yield from _expandable(memory, pools, [segment for segment in ordered if segment.is_expandable], stats)


def _expandable(memory: DeviceMemory, pools: Pools, stretches: Sequence[Segment], stats: Stats) -> Iterator[Block]:
    """Stretches of expandable segments: what of one pool and stream lies within one reservation is one segment."""
    addresses = memory.driver.reserved_for_expanding_bytes()
    for (private_pool, pool, stream), run in groupby(stretches, lambda s: (s.private_pool, s.pool, s.stream)):
        cache = pools.of(private_pool)[pool == "large"].cache(stream)
        length = -(-addresses // cache.pool.page_bytes) * cache.pool.page_bytes
        mapped = list(run)
        while mapped:
            base = mapped[0].address
            inside = [stretch for stretch in mapped if stretch.address < base + length]
            mapped = mapped[len(inside) :]
            last = inside[-1].address + inside[-1].bytes
            following = [s.address for s in stretches if s.address >= last]
            end = max(last, min([base + length, *following]))
            memory.driver.adopt_addresses(base, end - base)
            for stretch in inside:
                memory.adopt(cache, stretch.address, stretch.bytes, is_segment=False)
            yield from _chained(memory, cache, base, list(_with_gaps(inside, cache, end)), stats)


def _with_gaps(stretches: Sequence[Segment], cache: Cache, end: int) -> Iterator[Block]:
    """Blocks of the stretches, and those without memory between and behind them."""
    address = stretches[0].address
    for stretch in stretches:
        if stretch.address > address:
            yield _without_memory(address, stretch.address, cache)
        yield from _blocks(stretch, cache)
        address = stretch.address + stretch.bytes
    if end > address:
        yield _without_memory(address, end, cache)


def _without_memory(begin: int, end: int, cache: Cache) -> Block:
    block = cache.unmapped[begin] = Block(begin, end - begin, cache)
    block.state = UNMAPPED
    return block


def _blocks(segment: Segment, cache: Cache) -> list[Block]:
    return [_block(block, cache) for block in segment.blocks]


def _block(pictured: shown.Block, cache: Cache) -> Block:
    block = Block(pictured.address, pictured.bytes, cache)
    block.state = _STATES[pictured.state]
    block.requested, block.owner = pictured.requested_bytes, pictured.owner
    return block


def _chained(
    memory: DeviceMemory, cache: Cache, address: int, blocks: Sequence[Block], stats: Stats
) -> Iterator[Block]:
    """Link the blocks of one segment, count them, put the free ones into the cache."""
    memory.heads[address] = blocks[0]
    for before, after in pairwise(blocks):
        before.next, after.prev = after, before
    for block in blocks:
        if block.state == FREE:
            cache.add(block)
            if block.is_split() and not memory.expandable:
                stats.change_inactive(cache.stats, 1, block.size)
        elif block.state != UNMAPPED:
            stats.adopt(cache.stats, block.size, block.requested, is_pending=block.state == PENDING)
            yield block
