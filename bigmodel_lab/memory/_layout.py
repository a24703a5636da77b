"""Which blocks lay where, told from recorded events and from the picture at their end.

A recording names the address and the request of each block, and not its length. The length follows from the addresses:
the allocator cuts off what is not needed where more than 1 MiB would remain (small pool and expandable segments:
512 B), so a block is longer than its request only where less than that lies between it and the next block in use
(``should_split`` of c10/cuda/CUDACachingAllocator.cpp). In the same way the picture at the end, less what the events
did, is the picture at the beginning: free blocks side by side are always merged, so what is not in use is one block.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bigmodel_lab.memory._device import TraceEntry
from bigmodel_lab.memory._mapped import Mapped, before
from bigmodel_lab.memory.segments import Block, Segment
from bigmodel_lab.memory.settings import SMALL_BYTES, AllocatorSettings

_IN_USE: Literal["active_allocated"] = "active_allocated"
_WAITING: Literal["active_pending_free"] = "active_pending_free"
_FREED = ("free_requested", "free_completed")


@dataclass(frozen=True)
class Layout:
    """What followed from the addresses."""

    lengths: tuple[int, ...]
    """Bytes of the block of each ``alloc``, in the order of the events."""
    earlier: Mapping[int, Block]
    """Blocks that were in use before the first event, by address."""
    beginning: tuple[Segment, ...]
    """What was held before the first event, by address, each segment with all its blocks."""


def laid_out(events: Sequence[TraceEntry], end: Iterable[Segment], settings: AllocatorSettings) -> Layout:
    """Follow recorded events from the beginning to their end.

    Args:
        events: In order. Blocks in memory that neither an event nor the picture names have the length of their request.
        end: What was held after the last event.
        settings: Of the recorded allocator.
    """
    pictured = tuple(end)
    held = before(events, pictured)
    earlier = dict(_earlier(events, pictured))
    run = _Run(settings, held.by_address(), {block.address: block.bytes for block in earlier.values()})
    run.resolve(events, earlier)
    for event in events:
        run.follow(event)
    found = {address: _with_length(block, run.first[address]) for address, block in earlier.items()}
    return Layout(tuple(run.lengths), found, tuple(_filled(held, found)))


def _earlier(events: Iterable[TraceEntry], end: Iterable[Segment]) -> Iterator[tuple[int, Block]]:
    """Blocks that no event asked for: given back later, or still there; those given back with the request as length."""
    asked: set[int] = set()  # what was taken at each address since the beginning
    known: set[int] = set()
    for event in events:
        if event.action == "alloc":
            asked.add(event.address)
        elif event.action in _FREED and event.address not in asked | known:
            known.add(event.address)
            state = _IN_USE if event.action == "free_requested" else _WAITING
            yield event.address, Block(event.address, 0, event.bytes, state)
    for segment in end:
        for block in segment.blocks:
            if block.state != "inactive" and block.address not in asked | known:
                yield block.address, block


def _with_length(block: Block, length: int) -> Block:
    return Block(block.address, length, block.requested_bytes, block.state, block.owner)


def _filled(held: Mapped, earlier: Mapping[int, Block]) -> Iterator[Segment]:
    """Segments with their blocks; what lies between those in use is free."""
    addresses = sorted(earlier)
    for segment in held.segments():
        end = segment.address + segment.bytes
        blocks: list[Block] = []
        at = segment.address
        for address in addresses[bisect_left(addresses, at) : bisect_left(addresses, end)]:
            if address > at:
                blocks.append(Block(at, address - at, 0, "inactive"))
            blocks.append(earlier[address])
            at = address + earlier[address].bytes
        if end > at:
            blocks.append(Block(at, end - at, 0, "inactive"))
        yield Segment(
            segment.address, segment.bytes, segment.pool, segment.stream, tuple(blocks), segment.is_expandable
        )


@dataclass
class _Run:
    """Goes through the events once."""

    settings: AllocatorSettings
    ends: dict[int, int]  # of segments that do not grow, by address
    first: dict[int, int]  # lengths of the earliest blocks, by address; 0 where they are not known yet
    lengths: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # of segments, sorted
    live: list[int] = field(default_factory=list)  # addresses of blocks in use, sorted

    def __post_init__(self) -> None:
        self.starts = sorted(self.ends)
        self.live = sorted(self.first)

    def resolve(self, events: Sequence[TraceEntry], earlier: Mapping[int, Block]) -> None:
        """Lengths of the blocks from before that are given back later.

        What was behind such a block when it was cut may have been given back before the first event. Then the first
        block that is put there shows where it ends, as free memory is used from its lowest address on.
        """
        for address, length in self.first.items():
            if not length:
                self.first[address] = self.length(address, earlier[address].requested_bytes)
        unsure = {a for a in self.first if self._may_be_longer(a, earlier[a])}
        if not unsure:
            return
        waiting = sorted(unsure)
        for event in events:
            if event.action == "free_completed" and event.address in unsure:
                unsure.remove(event.address)
                waiting.remove(event.address)
            elif event.action == "alloc" and waiting:
                at = bisect_right(waiting, event.address) - 1
                block = waiting[at] if at >= 0 else -1
                extra = event.address - block - self.first.get(block, 0)
                if block in unsure and 0 <= extra < self._room(block):
                    self.first[block] += extra if extra <= SMALL_BYTES else 0
                    unsure.remove(block)
                    waiting.remove(block)

    def follow(self, event: TraceEntry) -> None:
        """What this event changes."""
        if event.action == "alloc":
            self.lengths.append(self.length(event.address, event.bytes))
            insort(self.live, event.address)
        elif event.action == "free_completed":
            at = bisect_left(self.live, event.address)
            if self.live[at : at + 1] == [event.address]:
                del self.live[at]
        elif event.action == "segment_alloc":
            insort(self.starts, event.address)
            self.ends[event.address] = event.address + event.bytes
        elif event.action == "segment_free" and event.address in self.ends:
            self.starts.remove(event.address)
            del self.ends[event.address]

    def length(self, address: int, requested: int) -> int:
        """Of the block that serves this request at this address now."""
        rounded = self.settings.rounded_bytes(max(requested, 1))
        if rounded <= SMALL_BYTES:
            return rounded
        room = self._room(address)
        whole = rounded >= self.settings.max_split_bytes or room - rounded <= SMALL_BYTES
        return room if room > rounded and whole else rounded

    def _room(self, address: int) -> int:
        """Bytes up to the next block in use or the end of the segment; 0 in memory that grows, or that nobody knows."""
        at = bisect_right(self.starts, address) - 1
        end = self.ends[self.starts[at]] if at >= 0 else 0
        following = bisect_right(self.live, address)
        if following < len(self.live):
            end = min(end, self.live[following])
        return max(end - address, 0)

    def _may_be_longer(self, address: int, block: Block) -> bool:
        """Whether its length was guessed from a request although more lies free behind it."""
        large = self.settings.rounded_bytes(max(block.requested_bytes, 1)) > SMALL_BYTES
        return large and block.bytes == 0 and self._room(address) > self.first[address]
