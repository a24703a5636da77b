"""What goes back to the driver, and when.

Source: CUDACachingAllocator.cpp, ``release_cached_blocks``, ``release_available_cached_blocks``,
``garbage_collect_cached_blocks``.
"""

from __future__ import annotations

from collections.abc import Iterable

from bigmodel_lab.memory import _expandable
from bigmodel_lab.memory._blocks import SHIFT, Cache, Pool
from bigmodel_lab.memory._device import DeviceMemory


def release_cached(memory: DeviceMemory, pools: Iterable[Pool], *, expandable: bool) -> None:
    """Give back every segment of these pools that is one free block, or every free page of expandable ones."""
    for pool in pools:
        for block in pool.sorted_blocks():
            if expandable:
                _expandable.shrink(memory, block)
            elif not block.is_split():
                memory.close_segment(block)


def release_oversize(memory: DeviceMemory, cache: Cache, size: int, max_split_bytes: int) -> bool:
    """Give back oversize segments of this stream, only as many as the request needs.

    The smallest that is large enough, or else several from the largest down.

    Args:
        memory: The card.
        cache: Free blocks of the stream that asks.
        size: Request after rounding.
        max_split_bytes: From here on a block is oversize.

    Returns:
        Whether so much went back.
    """
    wanted = max(size, max_split_bytes)
    enough = [key for key in cache.keys if key >> SHIFT >= wanted]
    if enough:
        memory.close_segment(cache.blocks[enough[0]])
        return True
    released = 0
    for block in reversed(cache.sorted_blocks()):
        if released >= wanted or block.size < max_split_bytes:
            break
        released += block.size
        memory.close_segment(block)
    return released >= wanted


def collect_garbage(memory: DeviceMemory, pool: Pool, threshold_bytes: int) -> None:
    """Give back large segments that have not been used for longest, until so few bytes are reserved.

    A round frees all that are at least of average age (counted in searches for a free block), even where
    fewer would do, so that this does not happen often.

    Args:
        memory: The card.
        pool: The common large pool.
        threshold_bytes: Reserved bytes above which this happens.
    """
    excess = memory.reserved_bytes - threshold_bytes
    ages = {block: pool.searches - block.inserted for block in pool.sorted_blocks() if not block.is_split()}
    while excess > 0 and ages:
        average = sum(ages.values()) / len(ages)
        old = [block for block, age in ages.items() if age >= average]
        for block in old:
            excess -= block.size
            del ages[block]
            memory.close_segment(block)
