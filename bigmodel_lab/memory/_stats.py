"""Counts and sums of the allocator, under the names of ``torch.cuda.memory_stats``.

What every request changes is counted with as few additions as there can be: what came in and what went out, by pool.
Peaks of what requests raise are noted when a run of requests ends, that is at the next free or when somebody looks,
because until then these sums only grow.
"""
# ruff: noqa: PLR1730 - max() costs as much as three comparisons, and these run at every request

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from bigmodel_lab.memory.settings import AllocatorSettings

History: TypeAlias = tuple[int, int, int, int]
"""Current, peak, all that was added, all that was taken away."""
_FIELDS = ("current", "peak", "allocated", "freed")


class Counter:
    """One number with its history."""

    __slots__ = ("added", "current", "peak")

    def __init__(self) -> None:
        self.current = self.peak = self.added = 0

    def add(self, amount: int) -> None:
        """It grows, or shrinks where the amount is negative."""
        self.current = current = self.current + amount
        if amount > 0:
            self.added += amount
            if current > self.peak:
                self.peak = current

    def reset_peak(self) -> None:
        """The present value is the highest from here."""
        self.peak = self.current

    def history(self) -> History:
        """With what was taken away."""
        return self.current, self.peak, self.added, self.added - self.current


class PoolStats:
    """Counts of the small or of the large pools, all streams and private pools together."""

    __slots__ = (
        "allocated_bytes",
        "allocations",
        "freed_bytes",
        "frees",
        "inactive",
        "inactive_added",
        "inactive_bytes",
        "inactive_bytes_added",
        "peaks",
        "pending",
        "pending_bytes",
        "released_bytes",
        "requested_bytes",
        "reserved",
        "segments",
    )

    def __init__(self) -> None:
        self.allocations = self.frees = 0
        self.allocated_bytes = self.freed_bytes = 0  # all ever given out, all ever asked back
        self.requested_bytes = self.released_bytes = 0  # the same before rounding; released when a free completes
        self.pending = self.pending_bytes = 0  # asked back, and not yet over on other streams
        self.inactive = self.inactive_bytes = 0  # free pieces of segments that are in use elsewhere, now
        self.inactive_added = self.inactive_bytes_added = 0
        self.segments, self.reserved = Counter(), Counter()
        self.peaks = Peaks()


class Peaks:
    """Highest values so far."""

    __slots__ = ("active", "active_bytes", "allocations", "bytes", "inactive", "inactive_bytes", "requested")

    def __init__(self) -> None:
        self.allocations = self.bytes = self.requested = 0
        self.active = self.active_bytes = 0
        self.inactive = self.inactive_bytes = 0

    def note(self, allocations: int, size: int, requested: int) -> None:
        """These are the values now."""
        if allocations > self.allocations:
            self.allocations = allocations
        if size > self.bytes:
            self.bytes = size
        if requested > self.requested:
            self.requested = requested

    def note_active(self, active: int, size: int) -> None:
        """These are the values now, blocks that other streams still use included."""
        if active > self.active:
            self.active = active
        if size > self.active_bytes:
            self.active_bytes = size


class Stats:
    """Everything that ``torch.cuda.memory_stats`` tells."""

    def __init__(self, settings: AllocatorSettings) -> None:
        self.small, self.large = PoolStats(), PoolStats()
        self.peaks = Peaks()
        """Of both together."""
        self.segments, self.reserved = Counter(), Counter()
        """Of both together."""
        self.oversize_allocations, self.oversize_segments = Counter(), Counter()
        self.num_alloc_retries = self.num_ooms = self.num_sync_all_streams = 0
        self.num_device_alloc = self.num_device_free = 0
        self.max_split_bytes = settings.max_split_bytes
        # torch reads its largest size_t as a signed number
        self._max_split_bytes = -1 if settings.max_split_size_mb is None else settings.max_split_bytes

    def note_peaks(self) -> None:
        """What requests raise may be higher than ever."""
        small, large = self.small, self.large
        peaks, count = small.peaks, small.allocations - small.frees
        size, requested = small.allocated_bytes - small.freed_bytes, small.requested_bytes - small.released_bytes
        if count > peaks.allocations or size > peaks.bytes or requested > peaks.requested:  # seldom: saves the call
            peaks.note(count, size, requested)
        peaks, others = large.peaks, large.allocations - large.frees
        rest, asked = large.allocated_bytes - large.freed_bytes, large.requested_bytes - large.released_bytes
        if others > peaks.allocations or rest > peaks.bytes or asked > peaks.requested:
            peaks.note(others, rest, asked)
        peaks, count, size, requested = self.peaks, count + others, size + rest, requested + asked
        if count > peaks.allocations or size > peaks.bytes or requested > peaks.requested:
            peaks.note(count, size, requested)
        if small.pending or large.pending:
            self._note_active()

    def _note_active(self) -> None:
        """The same for blocks that are in use or that other streams still use."""
        count = size = 0
        for pool in (self.small, self.large):
            blocks = pool.allocations - pool.frees + pool.pending
            taken = pool.allocated_bytes - pool.freed_bytes + pool.pending_bytes
            pool.peaks.note_active(blocks, taken)
            count, size = count + blocks, size + taken
        self.peaks.note_active(count, size)

    def reset_peaks(self) -> None:
        """The present values are the highest from here (``resetPeakStats``)."""
        self.peaks = Peaks()
        for pool in (self.small, self.large):
            pool.peaks = Peaks()
            pool.peaks.inactive, pool.peaks.inactive_bytes = pool.inactive, pool.inactive_bytes
            pool.segments.reset_peak()
            pool.reserved.reset_peak()
            self.peaks.inactive += pool.inactive
            self.peaks.inactive_bytes += pool.inactive_bytes
        for counter in (self.segments, self.reserved, self.oversize_allocations, self.oversize_segments):
            counter.reset_peak()
        self.note_peaks()

    def change_inactive(self, pool: PoolStats, blocks: int, size: int) -> None:
        """Free pieces of segments that are in use elsewhere: so many more, so many bytes more."""
        pool.inactive = now = pool.inactive + blocks
        if blocks > 0:
            pool.inactive_added += blocks
            if now > pool.peaks.inactive:
                pool.peaks.inactive = now
            both = self.small.inactive + self.large.inactive
            if both > self.peaks.inactive:
                self.peaks.inactive = both
        pool.inactive_bytes = now = pool.inactive_bytes + size
        if size > 0:
            pool.inactive_bytes_added += size
            if now > pool.peaks.inactive_bytes:
                pool.peaks.inactive_bytes = now
            both = self.small.inactive_bytes + self.large.inactive_bytes
            if both > self.peaks.inactive_bytes:
                self.peaks.inactive_bytes = both

    def reserve(self, pool: PoolStats, size: int) -> None:
        """So many bytes more from the driver, or fewer where negative."""
        pool.reserved.add(size)
        self.reserved.add(size)
        if size < 0:
            self.num_device_free += 1
        else:
            self.num_device_alloc += 1

    def segment(self, pool: PoolStats, count: int) -> None:
        """So many segments more."""
        pool.segments.add(count)
        self.segments.add(count)

    def adopt(self, pool: PoolStats, size: int, requested: int, *, is_pending: bool) -> None:
        """A block that was in use, or waited for other streams, before the counting began."""
        pool.allocations += 1
        pool.allocated_bytes += size
        pool.requested_bytes += requested
        if is_pending:
            pool.frees += 1
            pool.freed_bytes += size
            pool.pending += 1
            pool.pending_bytes += size
        elif size >= self.max_split_bytes:
            self.oversize_allocations.add(1)

    def as_dict(self) -> dict[str, int]:
        """Names and values, sorted by name as ``torch.cuda.memory_stats`` sorts them."""
        self.note_peaks()
        values = {
            "max_split_size": self._max_split_bytes,
            "num_alloc_retries": self.num_alloc_retries,
            "num_device_alloc": self.num_device_alloc,
            "num_device_free": self.num_device_free,
            "num_oom_rejections": 0,
            "num_ooms": self.num_ooms,
            "num_sync_all_streams": self.num_sync_all_streams,
        }
        for name, history in self._histories():
            values.update(zip((f"{name}.{field}" for field in _FIELDS), history, strict=True))
        return dict(sorted(values.items()))

    def _histories(self) -> Iterator[tuple[str, History]]:
        small, large = _additions(self.small), _additions(self.large)
        sums = {name: (added + large[name][0], taken + large[name][1]) for name, (added, taken) in small.items()}
        counters = (self.small.segments, self.small.reserved), (self.large.segments, self.large.reserved)
        yield from _named("small_pool", small, self.small.peaks, counters[0])
        yield from _named("large_pool", large, self.large.peaks, counters[1])
        yield from _named("all", sums, self.peaks, (self.segments, self.reserved))
        yield "oversize_allocations", self.oversize_allocations.history()
        yield "oversize_segments", self.oversize_segments.history()


def _additions(pool: PoolStats) -> dict[str, tuple[int, int]]:
    """What was added and what was taken away, by torch's names."""
    return {
        "allocation": (pool.allocations, pool.frees),
        "allocated_bytes": (pool.allocated_bytes, pool.freed_bytes),
        "requested_bytes": (pool.requested_bytes, pool.released_bytes),
        "active": (pool.allocations, pool.frees - pool.pending),
        "active_bytes": (pool.allocated_bytes, pool.freed_bytes - pool.pending_bytes),
        "inactive_split": (pool.inactive_added, pool.inactive_added - pool.inactive),
        "inactive_split_bytes": (pool.inactive_bytes_added, pool.inactive_bytes_added - pool.inactive_bytes),
    }


def _named(
    pool: str, additions: dict[str, tuple[int, int]], peaks: Peaks, counters: tuple[Counter, Counter]
) -> Iterator[tuple[str, History]]:
    """Names and histories of one pool. Without blocks that other streams use, active is what is allocated."""
    highest = {
        "allocation": peaks.allocations,
        "allocated_bytes": peaks.bytes,
        "requested_bytes": peaks.requested,
        "active": max(peaks.active, peaks.allocations),
        "active_bytes": max(peaks.active_bytes, peaks.bytes),
        "inactive_split": peaks.inactive,
        "inactive_split_bytes": peaks.inactive_bytes,
    }
    for name, (added, taken) in additions.items():
        yield f"{name}.{pool}", (added - taken, highest[name], added, taken)
    yield f"segment.{pool}", counters[0].history()
    yield f"reserved_bytes.{pool}", counters[1].history()
