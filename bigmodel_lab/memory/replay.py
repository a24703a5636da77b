"""What an allocator makes of a program's requests."""

from __future__ import annotations

from collections.abc import Iterator
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


def reserves_at_most(trace: RequestTrace, limit_bytes: int, settings: AllocatorSettings) -> bool:
    """Whether a trace reserves no more than this on a card without end; ends at the first request that takes more.

    Args:
        trace: What a program asks for.
        limit_bytes: Most bytes held from the driver.
        settings: Of the allocator.

    >>> from bigmodel_lab.memory.requests import Allocation
    >>> step = RequestTrace((Allocation(5 << 20, "activation"),), (0,))
    >>> [reserves_at_most(step, size << 20, AllocatorSettings()) for size in (19, 20)]
    [False, True]
    """
    allocator = CachingAllocator(settings)
    return all(allocator.reserved_bytes <= limit_bytes for _ in _served(trace, allocator, None))


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
