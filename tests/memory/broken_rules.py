"""Ways to break a rule of the allocator in place; mutations.py names the rules."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import pytest

from bigmodel_lab.memory import _blocks, allocator, settings
from bigmodel_lab.memory._blocks import FREE, UNMAPPED, Block, Cache, Pool, Pools
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20
Change = Callable[[pytest.MonkeyPatch], object]


def number(name: str, value: int, *modules: Any) -> Change:
    """A constant of the settings, wherever it was imported."""

    def change(patch: pytest.MonkeyPatch) -> None:
        for module in (settings, *modules):
            patch.setattr(module, name, value)

    return change


def method(owner: Any, name: str, made: Callable[[Any], Any]) -> Change:
    """A function or method, made anew from the old one."""
    return lambda patch: patch.setattr(owner, name, made(getattr(owner, name)))


def setting(name: str, value: Any) -> Change:
    """A setting that is not heard."""

    def change(patch: pytest.MonkeyPatch) -> None:
        parse = AllocatorSettings.parse
        default = getattr(AllocatorSettings(), name)

        def other(conf: str) -> AllocatorSettings:
            parsed = parse(conf)
            if getattr(parsed, name) != default:
                object.__setattr__(parsed, name, value)
            return parsed

        patch.setattr(AllocatorSettings, "parse", other)

    return change


def derived(name: str, value: Callable[[AllocatorSettings], Any]) -> Change:
    """A property of the settings."""
    return lambda patch: patch.setattr(AllocatorSettings, name, property(value))


# ---------------------------------------------------------------- sizes


def rounded_to(least: int) -> Change:
    """Requests up to another multiple than 512 B."""

    def made(old: Callable[..., int]) -> Callable[..., int]:
        def allocate(self: Any, size: int, **words: Any) -> int:
            address = old(self, -(-size // least) * least, **words)
            if size > 0:
                self._live[address].requested = size
                entry = self.entries[-1]
                self.entries[-1] = entry._replace(bytes=size)
            return address

        return allocate

    return method(CachingAllocator, "allocate", made)


def _of_pool(pool: str, name: str, value: int) -> Change:
    """A number that each small or each large pool has."""

    def made(old: Callable[..., None]) -> Callable[..., None]:
        def init(self: Pool, **words: Any) -> None:
            old(self, **words)
            if (pool == "small") == self.is_small:
                setattr(self, name, value)

        return init

    return method(Pool, "__init__", made)


def keep(pool: str, value: int) -> Change:
    """Cut where more than this would remain."""
    return _of_pool(pool, "keep", value)


def page(pool: str, value: int) -> Change:
    """Pages of expandable segments of another size."""
    return _of_pool(pool, "page_bytes", value)


# ---------------------------------------------------------------- which block


def chosen(choose: Callable[[Cache, int, int], int]) -> Change:
    """Another place among the free blocks that are large enough."""

    def change(patch: pytest.MonkeyPatch) -> None:
        init = CachingAllocator.__init__
        fitting = CachingAllocator._fitting

        def never_plain(self: Any, *given: Any, **words: Any) -> None:
            init(self, *given, **words)
            self._is_plain = False

        def other(self: Any, cache: Cache, rounded: int, at: int) -> Block | None:
            return fitting(self, cache, rounded, choose(cache, rounded, at) if at < len(cache.keys) else at)

        patch.setattr(CachingAllocator, "__init__", never_plain)
        patch.setattr(CachingAllocator, "_fitting", other)

    return change


def highest_of_equals(cache: Cache, rounded: int, at: int) -> int:
    """Of equal blocks the one at the highest address."""
    del rounded
    size = cache.keys[at] >> _blocks.SHIFT
    return bisect_left(cache.keys, (size + 1) << _blocks.SHIFT) - 1


def worst(cache: Cache, rounded: int, at: int) -> int:
    """The largest."""
    del rounded, at
    return len(cache.keys) - 1


def lowest_address(cache: Cache, rounded: int, at: int) -> int:
    """The one at the lowest address, whatever its size."""
    del rounded
    return min(range(at, len(cache.keys)), key=lambda place: cache.blocks[cache.keys[place]].address)


def oversize_serves_all(old: Callable[..., Block | None]) -> Callable[..., Block | None]:
    """Oversize blocks serve smaller requests too."""

    def fitting(self: Any, cache: Cache, rounded: int, at: int) -> Block | None:
        if rounded < self._oversize and at < len(cache.keys):
            return cache.blocks[cache.keys[at]]
        return old(self, cache, rounded, at)

    return fitting


def oversize_serves_any_large(old: Callable[..., Block | None]) -> Callable[..., Block | None]:
    """Oversize blocks serve every oversize request that fits."""

    def fitting(self: Any, cache: Cache, rounded: int, at: int) -> Block | None:
        if rounded >= self._oversize and at < len(cache.keys):
            return cache.blocks[cache.keys[at]]
        return old(self, cache, rounded, at)

    return fitting


def without_growing_fit(patch: pytest.MonkeyPatch) -> None:
    """Expandable: the size of a block counts, and not what it can grow to."""
    patch.setattr(allocator, "expandable_bytes", lambda block: block.size)


# ---------------------------------------------------------------- merging


def merge(*, before: bool, after: bool) -> Change:
    """Join a freed block with its free neighbours on these sides only."""

    def made(old: Callable[..., None]) -> Callable[..., None]:
        def into_cache(self: Any, block: Block) -> None:
            hidden = [] if before else [block.prev]
            hidden += [] if after else [block.next]
            busy = [other for other in hidden if other is not None and other.state == FREE]
            for other in busy:
                other.state = UNMAPPED
            old(self, block)
            for other in busy:
                other.state = FREE

        return into_cache

    return method(CachingAllocator, "_into_cache", made)


# ---------------------------------------------------------------- giving back


def no_oversize_release(old: Callable[..., bool]) -> Callable[..., bool]:
    """Oversize blocks do not go back first."""
    del old
    return lambda *given: False


def release_largest_first(old: Callable[..., bool]) -> Callable[..., bool]:
    """Of those that are enough alone the largest goes back."""

    def release(memory: Any, cache: Cache, size: int, limit: int) -> bool:
        wanted = max(size, limit)
        enough = [key for key in cache.keys if key >> _blocks.SHIFT >= wanted]
        if enough:
            memory.close_segment(cache.blocks[enough[-1]])
            return True
        return old(memory, cache, size, limit)

    return release


def release_only_one(old: Callable[..., bool]) -> Callable[..., bool]:
    """Several together are never given back."""

    def release(memory: Any, cache: Cache, size: int, limit: int) -> bool:
        enough = any(key >> _blocks.SHIFT >= max(size, limit) for key in cache.keys)
        return old(memory, cache, size, limit) if enough else False

    return release


def small_pool_first(old: Callable[..., Any]) -> Callable[..., Any]:
    """The small pool goes back before the large one."""

    def releasable(self: Pools) -> Any:
        large, small, *others = old(self)
        return iter((small, large, *others))

    return releasable


def only_large_pool(old: Callable[..., Any]) -> Callable[..., Any]:
    """The small pool never goes back."""
    return lambda self: iter([next(old(self))])


def no_retry(old: Callable[..., Any]) -> Callable[..., Any]:
    """What finds no memory fails at once."""
    del old

    def from_driver(self: Any, cache: Cache, rounded: int, size: int) -> Block:
        block = self._growth.block(cache, rounded)
        if block is None:
            raise self._out_of_memory(cache, rounded, size)
        return block

    return from_driver


def split_segments_too(old: Callable[..., None]) -> Callable[..., None]:
    """What goes back are the largest only: one of the segments that are one free block stays."""

    def release(memory: Any, pools: Any, *, expandable: bool) -> None:
        kept = list(pools)
        for pool in kept:
            whole = [block for block in pool.sorted_blocks() if not block.is_split()]
            if not expandable and len(whole) > 1:
                memory.close_segment(whole[-1])
        old(memory, kept, expandable=expandable)

    return release


def waiting_stays(old: Callable[..., None]) -> Callable[..., None]:
    """Frees that wait for other streams are not completed when memory is short."""
    del old

    def empty_cache(self: Any) -> None:
        self._stats.num_sync_all_streams += 1
        self._growth.release_cached()

    return empty_cache


def cut_oversize(patch: pytest.MonkeyPatch) -> None:
    """Oversize blocks are cut like others."""
    hand_out = CachingAllocator._hand_out

    def cutting(self: Any, block: Block, rounded: int) -> None:
        limit, self._oversize = self._oversize, 1 << 60
        hand_out(self, block, rounded)
        self._oversize = limit

    patch.setattr(CachingAllocator, "_hand_out", cutting)


def first_division(patch: pytest.MonkeyPatch) -> None:
    """The steps of the smallest sizes hold for all."""
    rounded = AllocatorSettings.rounded_bytes

    def by_first(self: AllocatorSettings, size: int) -> int:
        first = self.roundup_power2_divisions[:1] * len(self.roundup_power2_divisions)
        return rounded(AllocatorSettings(roundup_power2_divisions=first), size)

    patch.setattr(AllocatorSettings, "rounded_bytes", by_first)
