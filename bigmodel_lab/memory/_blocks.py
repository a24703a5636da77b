"""Blocks, and the pools that keep the free ones sorted for the best fit."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from bigmodel_lab.memory._stats import PoolStats, Stats
from bigmodel_lab.memory.settings import SMALL_BYTES, AllocatorSettings

FREE, ALLOCATED, PENDING, UNMAPPED = range(4)
"""States of a block: cached, in use, asked back but still used on another stream, address without memory."""
SHIFT = 64
"""A free block's key is ``size << SHIFT | address``: one integer sorts by size first, then by address."""


class Block:
    """A stretch of a segment; its neighbours in the segment are linked to it."""

    __slots__ = ("address", "cache", "inserted", "next", "owner", "prev", "requested", "size", "state")

    requested: int
    """What was asked for, while it is in use."""
    owner: int | None
    """Whose it is, while it is in use."""
    inserted: int
    """Searches of its pool when it became free, where garbage is collected."""

    def __init__(
        self, address: int, size: int, cache: Cache, prev: Block | None = None, after: Block | None = None
    ) -> None:
        self.address = address
        self.size = size
        self.cache = cache
        self.prev = prev
        self.next = after
        self.state = FREE

    def cut(self, size: int) -> Block:
        """Keep the first ``size`` bytes; the rest becomes a block of its own, which is returned."""
        after = self.next
        rest = Block(self.address + size, self.size - size, self.cache, self, after)
        if after is not None:
            after.prev = rest
        self.next = rest
        self.size = size
        return rest

    def absorb_next(self) -> None:
        """Take over the next block."""
        gone = self.next
        assert gone is not None
        self.size += gone.size
        self.next = after = gone.next
        if after is not None:
            after.prev = self

    def is_split(self) -> bool:
        """Whether it is only a part of its segment."""
        return self.prev is not None or self.next is not None


class Cache:
    """Free blocks of one stream in one pool, sorted by size, then by address."""

    __slots__ = ("blocks", "keep", "keys", "pool", "stats", "stream", "unmapped")

    def __init__(self, pool: Pool, stream: int) -> None:
        self.pool = pool
        self.stream = stream
        self.stats = pool.stats
        self.keep = pool.keep
        self.keys: list[int] = []
        self.blocks: dict[int, Block] = {}
        self.unmapped: dict[int, Block] = {}  # stretches of expandable segments without memory, by address

    def add(self, block: Block) -> None:
        """This block is free."""
        key = block.size << SHIFT | block.address
        insort(self.keys, key)
        self.blocks[key] = block

    def remove(self, block: Block) -> None:
        """This block is free no longer, or about to change its size."""
        key = block.size << SHIFT | block.address
        del self.keys[bisect_left(self.keys, key)]
        del self.blocks[key]

    def sorted_blocks(self) -> list[Block]:
        """Its free blocks, smallest first."""
        return [self.blocks[key] for key in self.keys]


class AgingCache(Cache):
    """Free blocks that know since when they are free, for garbage collection."""

    __slots__ = ()

    def add(self, block: Block) -> None:
        """This block is free from now on."""
        super().add(block)
        block.inserted = self.pool.searches


class Pool:
    """Small or large blocks, of the common pool or of a private one: one :class:`Cache` a stream."""

    def __init__(self, *, is_small: bool, private_pool: int, stats: PoolStats, settings: AllocatorSettings) -> None:
        self.is_small = is_small
        self.private_pool = private_pool
        self.stats = stats
        self.searches = 0
        """How often a free block was looked for: the clock of garbage collection."""
        self.keep = 0 if is_small or settings.expandable_segments else SMALL_BYTES
        """A block is cut where more than this would remain (``should_split``: at least 512 B, or more than 1 MiB)."""
        self.page_bytes = settings.segment_bytes(1 if is_small else SMALL_BYTES + 1)
        """Page of an expandable segment."""
        self.caches: dict[int, Cache] = {}
        self._kind = AgingCache if settings.garbage_collection_threshold else Cache

    def cache(self, stream: int) -> Cache:
        """The free blocks of this stream."""
        if stream not in self.caches:
            self.caches[stream] = self._kind(self, stream)
        return self.caches[stream]

    def sorted_caches(self) -> list[Cache]:
        """By stream, as the driver's handles sort."""
        return [self.caches[stream] for stream in sorted(self.caches)]

    def sorted_blocks(self) -> list[Block]:
        """Free blocks by stream, size and address."""
        return [block for cache in self.sorted_caches() for block in cache.sorted_blocks()]


class Pools:
    """The common pools and the private ones."""

    def __init__(self, settings: AllocatorSettings, stats: Stats) -> None:
        self._settings, self._stats = settings, stats
        self._by_number: dict[int, tuple[Pool, Pool]] = {}
        self.small, self.large = self.of(0)
        self._released: list[int] = []

    def of(self, private_pool: int) -> tuple[Pool, Pool]:
        """Small and large pool with this number; 0 is the common one."""
        if private_pool not in self._by_number:
            self._by_number[private_pool] = self._made(private_pool)
        return self._by_number[private_pool]

    def release(self, private_pool: int) -> None:
        """Nobody needs this private pool any more: its free memory may go back to the driver."""
        if private_pool in self._by_number and private_pool not in self._released:
            self._released.append(private_pool)

    def releasable(self) -> Iterator[Pool]:
        """Pools whose free memory may go back to the driver, in torch's order (``release_cached_blocks``)."""
        yield self.large
        yield self.small
        for number in self._released:
            yield from self._by_number[number]

    def _made(self, private_pool: int) -> tuple[Pool, Pool]:
        small = Pool(is_small=True, private_pool=private_pool, stats=self._stats.small, settings=self._settings)
        large = Pool(is_small=False, private_pool=private_pool, stats=self._stats.large, settings=self._settings)
        return small, large
