"""Memory that was held from the driver before a recording, told from what was held after it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bigmodel_lab.memory._device import TraceEntry
from bigmodel_lab.memory.segments import Segment
from bigmodel_lab.memory.settings import SMALL_BYTES, SMALL_SEGMENT_BYTES

_LARGE_PAGE_BYTES = 20 << 20  # kLargeBuffer of c10/core/AllocatorConfig.h: pages of expandable segments


@dataclass
class Mapped:
    """Segments without their blocks."""

    fixed: dict[int, Segment]
    """Those that do not grow, by address."""
    growing: list[Segment]
    """Stretches of expandable segments, no two side by side."""

    def by_address(self) -> dict[int, int]:
        """Where each segment that does not grow ends."""
        return {address: address + segment.bytes for address, segment in self.fixed.items()}

    def segments(self) -> list[Segment]:
        """All, by address."""
        return sorted((*self.fixed.values(), *self.growing), key=lambda segment: segment.address)


def before(events: Sequence[TraceEntry], end: Iterable[Segment]) -> Mapped:
    """What was held before the first event: what was held after the last one, and the events undone from there.

    Args:
        events: In order.
        end: What was held after them.
    """
    bare = [replace(segment, blocks=()) for segment in end]
    held = Mapped(
        {segment.address: segment for segment in bare if not segment.is_expandable},
        [segment for segment in bare if segment.is_expandable],
    )
    pools = _Pools(events)
    for event in reversed(events):
        first, last = event.address, event.address + event.bytes
        if event.action == "segment_alloc":
            held.fixed.pop(first, None)
        elif event.action == "segment_free":
            pool: Literal["small", "large"] = "small" if event.bytes == SMALL_SEGMENT_BYTES else "large"
            held.fixed[first] = Segment(first, event.bytes, pool, event.stream, ())
        elif event.action == "segment_map":
            held.growing = [part for stretch in held.growing for part in _without(stretch, first, last)]
        elif event.action == "segment_unmap":
            pool = pools.of(first, last, held.growing)
            held.growing = list(_with(held.growing, Segment(first, event.bytes, pool, event.stream, (), True)))
    return held


def _without(stretch: Segment, first: int, last: int) -> Iterator[Segment]:
    """What is left of a stretch without these addresses."""
    begin, end = stretch.address, stretch.address + stretch.bytes
    for low, high in ((begin, min(end, first)), (max(begin, last), end)):
        if low < high:
            yield replace(stretch, address=low, bytes=high - low)


def _with(stretches: Iterable[Segment], more: Segment) -> Iterator[Segment]:
    """Stretches with one more, which is joined to those of its pool and stream beside it."""
    for stretch in stretches:
        beside = stretch.address + stretch.bytes == more.address or more.address + more.bytes == stretch.address
        if beside and (stretch.pool, stretch.stream) == (more.pool, more.stream):
            low = min(stretch.address, more.address)
            more = replace(more, address=low, bytes=stretch.bytes + more.bytes)
        else:
            yield stretch
    yield more


class _Pools:
    """Which pool pages of expandable segments belong to: events do not say it, the requests served there do."""

    def __init__(self, events: Sequence[TraceEntry]) -> None:
        served = ((event.address, event.bytes) for event in events if event.action in ("alloc", "free_requested"))
        self._served = sorted(served)

    def of(self, first: int, last: int, stretches: Iterable[Segment]) -> Literal["small", "large"]:
        """Pool of these pages: of a request served there, of a stretch beside them, else by the length of a page."""
        at = bisect_left(self._served, (first, 0))
        if at < len(self._served) and self._served[at][0] < last:
            return "small" if self._served[at][1] <= SMALL_BYTES else "large"
        for stretch in stretches:
            if last == stretch.address or first == stretch.address + stretch.bytes:
                return stretch.pool
        return "small" if (last - first) % _LARGE_PAGE_BYTES else "large"
