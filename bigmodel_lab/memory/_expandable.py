"""Expandable segments: addresses are reserved for the whole card, memory is mapped page by page where needed.

Source: CUDACachingAllocator.cpp, Note [Expandable Segments], ``find_expandable_block``, ``map_block``,
``try_allocate_expandable_block``, ``unmap_block``. Pages are 2 MiB in the small and 20 MiB in the large pool.
"""

from __future__ import annotations

from bigmodel_lab.memory._blocks import FREE, UNMAPPED, Block, Cache
from bigmodel_lab.memory._device import DeviceMemory


def grow(memory: DeviceMemory, cache: Cache, size: int) -> Block | None:
    """A free block of at least this size, in no cache, made by mapping pages; None where the driver refuses.

    Pages that were mapped before the driver refused stay, as a free block.
    """
    block: Block | None = _lowest_room(memory, cache, size)
    if block is not None and block.state == UNMAPPED:
        block = _map(memory, block, min(block.size, size))
    while block is not None and block.size < size:
        room = block.next  # without memory, or else it would have been merged; None at the end of the addresses
        block = room and _map(memory, room, min(room.size, size - block.size))
    if block is not None:
        cache.remove(block)
    return block


def shrink(memory: DeviceMemory, block: Block) -> None:
    """Give back every page that lies wholly inside this free block."""
    cache, page = block.cache, block.cache.pool.page_bytes
    base = _segment_address(block)
    begin = base - (base - block.address) // page * page
    end = base + (block.address + block.size - base) // page * page
    if begin >= end:
        return
    cache.remove(block)
    if begin > block.address:
        before, block = block, block.cut(begin - block.address)
        cache.add(before)
    if block.size > end - begin:
        cache.add(block.cut(end - begin))
    block.state = UNMAPPED
    block = _merged_unmapped(block)
    memory.unmap(cache, begin, end - begin)
    if not block.is_split():
        memory.return_addresses(block)


def expandable_bytes(block: Block) -> int:
    """What a free block could grow to in place: its size for the best fit (``get_free_block``)."""
    after = block.next
    return block.size + (after.size if after is not None and after.state == UNMAPPED else 0)


def _lowest_room(memory: DeviceMemory, cache: Cache, size: int) -> Block:
    """First of the free and unmapped blocks at the lowest address where so much has room."""
    for address in sorted(cache.unmapped):
        block = cache.unmapped[address]
        if block.prev is not None and block.prev.state == FREE:
            block = block.prev
        if _room(block) >= size:
            return block
    return memory.reserve_addresses(cache)


def _room(block: Block | None) -> int:
    total = 0
    while block is not None and block.state in (FREE, UNMAPPED):
        total += block.size
        block = block.next
    return total


def _map(memory: DeviceMemory, block: Block, size: int) -> Block | None:
    """Memory for the first pages of an unmapped block; returns the free block that they are part of now."""
    cache, page = block.cache, block.cache.pool.page_bytes
    mapped = -(-size // page) * page
    if not memory.map(cache, block.address, mapped):
        return None
    del cache.unmapped[block.address]
    block.state = FREE
    if mapped < block.size:
        rest = block.cut(mapped)
        rest.state = UNMAPPED
        cache.unmapped[rest.address] = rest
    block = _merged_free(block)
    cache.add(block)
    return block


def _merged_free(block: Block) -> Block:
    """The block together with the free blocks beside it, taken out of their cache."""
    cache, before, after = block.cache, block.prev, block.next
    if after is not None and after.state == FREE:
        cache.remove(after)
        block.absorb_next()
    if before is not None and before.state == FREE:
        cache.remove(before)
        before.absorb_next()
        return before
    return block


def _merged_unmapped(block: Block) -> Block:
    """The block together with the unmapped blocks beside it, listed as one."""
    unmapped, before, after = block.cache.unmapped, block.prev, block.next
    if after is not None and after.state == UNMAPPED:
        del unmapped[after.address]
        block.absorb_next()
    if before is not None and before.state == UNMAPPED:
        before.absorb_next()
        block = before
    unmapped[block.address] = block
    return block


def _segment_address(block: Block) -> int:
    while block.prev is not None:
        block = block.prev
    return block.address
