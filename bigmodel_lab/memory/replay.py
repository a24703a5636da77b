"""What an allocator makes of a program's requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings


@dataclass(frozen=True)
class Replay:
    """A trace of requests, served by a simulated allocator."""

    allocated: tuple[int, ...]
    """Bytes in use after each entry of the trace, in blocks; ends where a request did not fit."""
    reserved: tuple[int, ...]
    """Bytes held from the driver after each entry."""
    peak_allocated_bytes: int
    """Highest of :attr:`allocated`; 0 for an empty trace."""
    peak_reserved_bytes: int
    """Highest of :attr:`reserved`; 0 for an empty trace."""
    peak_position: int
    """First place where :attr:`allocated` is highest."""
    stopped_at: int | None
    """Place of the request that did not fit; None when everything did."""
    allocator: CachingAllocator
    """As the trace left it; each block's owner is the number of its allocation."""


def replay(trace: RequestTrace, allocator: CachingAllocator | None = None, *, until: int | None = None) -> Replay:
    """Serve the requests of a trace one after another.

    Args:
        trace: What a program asks for.
        allocator: Who serves it; None = a new one with default settings on a card without end.
        until: Place in the trace before which to stop; None = the end.

    >>> from bigmodel_lab.memory.requests import Allocation
    >>> step = RequestTrace((Allocation(1000, "parameter"), Allocation(5 << 20, "activation")), (0, 1, ~1))
    >>> [size >> 10 for size in replay(step).reserved], replay(step).peak_position
    ([2048, 22528, 22528], 1)
    """
    allocator = CachingAllocator() if allocator is None else allocator
    allocated: list[int] = []
    reserved: list[int] = []
    stopped_at: int | None = None
    try:
        for _ in _served(trace, allocator, until):
            allocated.append(allocator.allocated_bytes)
            reserved.append(allocator.reserved_bytes)
    except OutOfDeviceMemory:
        stopped_at = len(allocated)
    peak = max(allocated, default=0)
    return Replay(
        allocated=tuple(allocated),
        reserved=tuple(reserved),
        peak_allocated_bytes=peak,
        peak_reserved_bytes=max(reserved, default=0),
        peak_position=allocated.index(peak) if allocated else 0,
        stopped_at=stopped_at,
        allocator=allocator,
    )


def most_reserved(trace: RequestTrace, settings: AllocatorSettings, sizes: Sequence[int] | None = None) -> int:
    """The most bytes that a trace holds from the driver on a card without end: quicker than a whole :func:`replay`.

    Args:
        trace: What a program asks for.
        settings: Of the allocator.
        sizes: Bytes of each allocation in the place of the trace's own; None keeps those.

    >>> from bigmodel_lab.memory.requests import Allocation
    >>> step = RequestTrace((Allocation(5 << 20, "activation"),), (0,))
    >>> most_reserved(step, AllocatorSettings()) >> 20, most_reserved(step, AllocatorSettings(), [30 << 20]) >> 20
    (20, 30)
    """
    return max(_held(trace, settings, sizes), default=0)


def reserves_at_most(
    trace: RequestTrace, limit_bytes: int, settings: AllocatorSettings, sizes: Sequence[int] | None = None
) -> bool:
    """Whether :func:`most_reserved` is no more than this; ends at the first request that takes more.

    Args:
        trace: What a program asks for.
        limit_bytes: Most bytes held from the driver.
        settings: Of the allocator.
        sizes: Bytes of each allocation in the place of the trace's own; None keeps those.

    >>> from bigmodel_lab.memory.requests import Allocation
    >>> step = RequestTrace((Allocation(5 << 20, "activation"),), (0,))
    >>> [reserves_at_most(step, size << 20, AllocatorSettings()) for size in (19, 20)]
    [False, True]
    """
    return all(held <= limit_bytes for held in _held(trace, settings, sizes))


def live_at(trace: RequestTrace, position: int) -> tuple[int, ...]:
    """Numbers of the allocations that are alive after this entry of the trace, in the order of their requests.

    Args:
        trace: What a program asks for.
        position: Index into ``trace.sequence``; -1 is before the first, when nothing is alive.

    >>> from bigmodel_lab.memory.requests import Allocation
    >>> live_at(RequestTrace((Allocation(8, "input"), Allocation(8, "activation")), (0, 1, ~0)), 2)
    (1,)
    """
    alive: dict[int, None] = {}
    for entry in trace.sequence[: position + 1]:
        if entry >= 0:
            alive[entry] = None
        else:
            del alive[~entry]
    return tuple(alive)


def _served(trace: RequestTrace, allocator: CachingAllocator, until: int | None) -> Iterator[None]:
    """Serves one entry after another, and stops by itself after each."""
    addresses: dict[int, int] = {}
    for entry in trace.sequence[:until]:
        if entry >= 0:
            addresses[entry] = allocator.allocate(trace.allocations[entry].bytes, owner=entry)
        else:
            allocator.free(addresses.pop(~entry))
        yield


def _held(trace: RequestTrace, settings: AllocatorSettings, sizes: Sequence[int] | None) -> Iterator[int]:
    """Bytes held from the driver after each request on a card without end; only requests can raise them."""
    asked = [allocation.bytes for allocation in trace.allocations] if sizes is None else sizes
    allocator = CachingAllocator(settings)
    allocate, free = allocator.allocate, allocator.free
    addresses: dict[int, int] = {}
    for entry in trace.sequence:
        if entry >= 0:
            addresses[entry] = allocate(asked[entry])
            yield allocator.reserved_bytes
        else:
            free(addresses.pop(~entry))
