"""Ways to break how the allocator grows and gives back: garbage, fractions, expandable segments, streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bigmodel_lab.memory import _expandable, _growth, _release
from bigmodel_lab.memory._blocks import FREE, Block, Cache, Pool
from bigmodel_lab.memory._device import DeviceMemory
from bigmodel_lab.memory._growth import Growth
from bigmodel_lab.memory.allocator import CachingAllocator
from tests.memory.broken_rules import Change


def ages(age: Callable[[Pool, Block], int], *, strict: bool = False, once: bool = False, split: bool = False) -> Change:
    """Collect garbage by other ages, or otherwise."""

    def collect(memory: Any, pool: Pool, threshold: int) -> None:
        excess = memory.reserved_bytes - threshold
        ages = {b: age(pool, b) for b in pool.sorted_blocks() if not b.is_split() or (split and b.next is None)}
        while excess > 0 and ages:
            average = sum(ages.values()) / len(ages)
            old = [block for block, years in ages.items() if (years > average if strict else years >= average)]
            for block in old:
                excess -= block.size
                del ages[block]
                memory.close_segment(block)
            if once or not old:
                break

    return lambda patch: patch.setattr(_growth, "collect_garbage", collect)


def true_age(pool: Pool, block: Block) -> int:
    """As the rule has it."""
    return pool.searches - block.inserted


def until_enough(patch: pytest.MonkeyPatch) -> None:
    """Garbage collection stops as soon as so much went back."""

    def collect(memory: Any, pool: Pool, threshold: int) -> None:
        blocks = sorted((b for b in pool.sorted_blocks() if not b.is_split()), key=lambda b: -true_age(pool, b))
        for block in blocks:
            if memory.reserved_bytes <= threshold:
                break
            memory.close_segment(block)

    patch.setattr(_growth, "collect_garbage", collect)


def fraction_once(patch: pytest.MonkeyPatch) -> None:
    """Whether garbage is collected is settled when the allocator is made."""
    init = Growth.__init__

    def settled(self: Any, *given: Any) -> None:
        init(self, *given)
        self.settled = self.allowed_bytes is not None and self._settings.garbage_collection_threshold > 0

    patch.setattr(Growth, "__init__", settled)
    patch.setattr(Growth, "collects", property(lambda self: self.settled))


def fraction_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A fraction of 1 keeps the collection on."""
    limit = Growth.limit

    def limited(self: Any, fraction: float) -> None:
        limit(self, fraction)
        if fraction == 1:
            self.allowed_bytes = self._memory.driver.total_bytes

    patch.setattr(Growth, "limit", limited)


def collect_always(patch: pytest.MonkeyPatch) -> None:
    """Garbage is collected without a fraction too."""
    block = Growth.block

    def collecting(self: Any, cache: Cache, rounded: int) -> Block | None:
        total = self._memory.driver.total_bytes
        if self.allowed_bytes is None and self._settings.garbage_collection_threshold and not self._expandable:
            threshold = int(self._settings.garbage_collection_threshold * total)
            _release.collect_garbage(self._memory, self._pools.large, threshold)
        return block(self, cache, rounded)

    patch.setattr(Growth, "block", collecting)


# ---------------------------------------------------------------- expandable segments


def map_whole_segment(old: Callable[..., Block | None]) -> Callable[..., Block | None]:
    """One page more is mapped than needed."""
    return lambda memory, block, size: old(memory, block, min(block.size, size + block.cache.pool.page_bytes))


def first_room_by_size(old: Callable[..., Block]) -> Callable[..., Block]:
    """Not the lowest address but a fresh segment where the lowest free block is too small."""

    def room(memory: Any, cache: Cache, size: int) -> Block:
        for address in sorted(cache.unmapped, reverse=True):
            block = cache.unmapped[address]
            if block.size >= size:
                return block
        return old(memory, cache, size)

    return room


def free_tail_unused(old: Callable[..., Block]) -> Callable[..., Block]:
    """The free block before the unmapped pages does not count."""

    def room(memory: Any, cache: Cache, size: int) -> Block:
        found = old(memory, cache, size)
        return found.next if found.state == FREE and found.next is not None and found.next.size >= size else found

    return room


def never_shrink(old: Callable[..., None]) -> Callable[..., None]:
    """Pages never go back."""
    del old
    return lambda memory, block: None


# ---------------------------------------------------------------- streams


def one_stream(old: Callable[..., Cache]) -> Callable[..., Cache]:
    """Blocks are shared by all streams."""

    def cache(self: Pool, stream: int) -> Cache:
        del stream
        return old(self, 0)

    return cache


def streams_by_age(old: Callable[..., Any]) -> Callable[..., Any]:
    """Memory of the newest stream goes back first."""
    return lambda self: list(reversed(old(self)))


def at_once(old: Callable[..., None]) -> Callable[..., None]:
    """A block that another stream still uses is free at once."""
    del old
    return CachingAllocator.free


def unmap_refused(patch: pytest.MonkeyPatch) -> None:
    """Pages that were mapped before the driver refused go back at once."""
    grow, map_pages = _expandable.grow, DeviceMemory.map
    mapped: list[tuple[int, int]] = []

    def noted(self: DeviceMemory, cache: Cache, address: int, size: int) -> bool:
        done = map_pages(self, cache, address, size)
        mapped.extend([(address, size)] * done)
        return done

    def growing(memory: DeviceMemory, cache: Cache, size: int) -> Block | None:
        mapped.clear()
        block = grow(memory, cache, size)
        if block is None:
            for address, length in mapped:
                free = next(b for b in cache.blocks.values() if b.address == address)
                cache.remove(free)
                if free.size > length:
                    cache.add(free.cut(length))
                cache.add(free)
                _expandable.shrink(memory, free)
        return block

    patch.setattr(DeviceMemory, "map", noted)
    patch.setattr(_expandable, "grow", growing)
