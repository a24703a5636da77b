"""Memory that comes from the driver and goes back to it: the only place where ``reserved`` changes."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from bigmodel_lab.memory._blocks import UNMAPPED, Block, Cache
from bigmodel_lab.memory._driver import Driver
from bigmodel_lab.memory._stats import Stats
from bigmodel_lab.memory.settings import AllocatorSettings

Action: TypeAlias = Literal[
    "alloc",
    "free_requested",
    "free_completed",
    "segment_alloc",
    "segment_free",
    "segment_map",
    "segment_unmap",
    "oom",
]


class TraceEntry(NamedTuple):
    """One thing that the allocator did, as in a torch snapshot's ``device_traces``."""

    action: Action
    """What it did."""
    address: int
    """Of the block or segment; for ``"oom"`` what the driver still had, -1 where it is endless."""
    bytes: int
    """As asked for (alloc, free), after rounding (oom), or the length of what came from or went to the driver."""
    stream: int
    """CUDA stream."""


class DeviceMemory:
    """Segments of one card: gets them, gives them back, counts both."""

    def __init__(self, driver: Driver, stats: Stats, settings: AllocatorSettings, *, recording: bool) -> None:
        self.driver = driver
        self.stats = stats
        self.reserved_bytes = 0
        self.entries: list[TraceEntry] = []
        self.recording = recording
        self.heads: dict[int, Block] = {}
        """First block of each segment, by the segment's address."""
        self.expandable = settings.expandable_segments
        self._max_split_bytes = settings.max_split_bytes

    def record(self, action: Action, address: int, size: int, stream: int) -> None:
        """Note what was done, where that is wanted."""
        if self.recording:
            self.entries.append(TraceEntry(action, address, size, stream))

    def open_segment(self, cache: Cache, size: int) -> Block | None:
        """A new segment as one block, in no cache; None where the driver refuses (``alloc_block``)."""
        address = self.driver.allocate(size)
        if address is None:
            return None
        block = self.heads[address] = Block(address, size, cache)
        self.stats.segment(cache.stats, 1)
        if size >= self._max_split_bytes:
            self.stats.oversize_segments.add(1)
        self._reserve(cache, "segment_alloc", address, size)
        return block

    def adopt(self, cache: Cache, address: int, size: int, *, is_segment: bool = True) -> None:
        """Count memory that another allocator got; pages of an expandable segment are no segment."""
        self.driver.adopt(address, size)
        self.reserved_bytes += size
        self.stats.reserve(cache.stats, size)
        if is_segment:
            self.stats.segment(cache.stats, 1)
            if size >= self._max_split_bytes:
                self.stats.oversize_segments.add(1)

    def close_segment(self, block: Block) -> None:
        """Give back a segment that is one free block (``release_block``)."""
        cache = block.cache
        self._reserve(cache, "segment_free", block.address, -block.size)
        self.driver.free(block.address, block.size)
        self.stats.segment(cache.stats, -1)
        if block.size >= self._max_split_bytes:
            self.stats.oversize_segments.add(-1)
        cache.remove(block)
        del self.heads[block.address]

    def reserve_addresses(self, cache: Cache) -> Block:
        """A new expandable segment without memory."""
        page = cache.pool.page_bytes
        size = -(-self.driver.reserved_for_expanding_bytes() // page) * page
        address = self.driver.reserve(size, stream=cache.stream, is_small=cache.pool.is_small)
        block = self.heads[address] = cache.unmapped[address] = Block(address, size, cache)
        block.state = UNMAPPED
        return block

    def return_addresses(self, block: Block) -> None:
        """Give up an expandable segment without memory."""
        del self.heads[block.address], block.cache.unmapped[block.address]
        self.driver.return_addresses(block.address)

    def map(self, cache: Cache, address: int, size: int) -> bool:
        """Memory for these pages; False where the driver refuses."""
        if not self.driver.map(address, size):
            return False
        self._reserve(cache, "segment_map", address, size)
        return True

    def unmap(self, cache: Cache, address: int, size: int) -> None:
        """Give back the memory of these pages."""
        self.driver.unmap(address, size)
        self._reserve(cache, "segment_unmap", address, -size)

    def _reserve(self, cache: Cache, action: Action, address: int, size: int) -> None:
        self.reserved_bytes += size
        self.stats.reserve(cache.stats, size)
        self.record(action, address, abs(size), cache.stream)
