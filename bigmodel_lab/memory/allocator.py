"""The CUDA caching allocator of PyTorch, simulated exactly, in plain integers.

Rules from ``c10/cuda/CUDACachingAllocator.cpp`` as of PyTorch 2.13; the functions there are named where they are
followed here. What happens: a request is rounded up to 512 B; the smallest free block of its stream and pool that
is large enough serves it, the lowest address among equals; what is left over is cut off and stays free; where no
block serves, the driver is asked for a segment; freed blocks merge with free neighbours and stay for reuse.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory._blocks import ALLOCATED, FREE, PENDING, SHIFT, Block, Cache, Pools
from bigmodel_lab.memory._device import DeviceMemory, TraceEntry
from bigmodel_lab.memory._driver import Driver
from bigmodel_lab.memory._expandable import expandable_bytes
from bigmodel_lab.memory._growth import Growth
from bigmodel_lab.memory._picture import pictured
from bigmodel_lab.memory._refusals import not_empty, not_in_use, not_waiting, nothing, out_of_memory
from bigmodel_lab.memory._restore import restored
from bigmodel_lab.memory._stats import Stats
from bigmodel_lab.memory.segments import Segment
from bigmodel_lab.memory.settings import SMALL_BYTES, AllocatorSettings

__all__ = ["CachingAllocator", "Driver", "TraceEntry"]
_DEFAULTS = AllocatorSettings()


class CachingAllocator:
    """The allocator of one card.

    >>> card = CachingAllocator()
    >>> weights, activations = card.allocate(3_000_000), card.allocate(100)
    >>> card.free(weights)
    >>> card.allocated_bytes, card.reserved_bytes  # 512 B in use; segments of 20 MiB and 2 MiB are kept
    (512, 23068672)
    """

    def __init__(
        self,
        settings: AllocatorSettings = _DEFAULTS,
        *,
        capacity_bytes: int | None = None,
        recording: bool = False,
        driver: Driver | None = None,
    ) -> None:
        """An empty allocator.

        Args:
            settings: As PYTORCH_ALLOC_CONF gives them.
            capacity_bytes: What cudaMalloc can give this process in all, in bytes; None = without end.
            recording: Keep a :class:`TraceEntry` of everything that is done, in :attr:`entries`.
            driver: Who gives memory, instead of one with made-up addresses and this capacity.

        Raises:
            ConfigError: A memory fraction is set and the card's size is not known.
        """
        self.settings = settings
        self.allocated_bytes = 0
        """In use, in blocks: after rounding and splitting."""
        self._stats = Stats(settings)
        self._memory = DeviceMemory(driver or Driver(capacity_bytes), self._stats, settings, recording=recording)
        self._pools = Pools(settings, self._stats)
        self._small, self._large = self._pools.small.cache(0), self._pools.large.cache(0)
        self._growth = Growth(self._memory, self._pools, settings)
        self._live: dict[int, Block] = {}
        self._pending: dict[int, Block] = {}
        self._rising = False  # something was handed out since the peaks were noted
        # What the path of every request asks, looked up once. All of it follows from the settings, which never change;
        # the memory fraction can change, so what depends on it is asked of the growth each time.
        self._recording = recording
        self._expandable = settings.expandable_segments
        self._divides = any(settings.roundup_power2_divisions)
        collects = settings.garbage_collection_threshold > 0
        self._is_plain = not (collects or self._expandable or settings.max_split_size_mb)
        self._oversize = settings.max_split_bytes

    # ------------------------------------------------------------ requests

    def allocate(self, size: int, *, stream: int = 0, private_pool: int = 0, owner: int | None = None) -> int:
        """Serve one request; returns the address of its block.

        Args:
            size: Bytes asked for. Nothing is allocated for 0 bytes: their address is 0.
            stream: CUDA stream; blocks are reused on their own stream only.
            private_pool: Number of the pool of a CUDA graph that is being captured; 0 is the common one.
            owner: Whose request this is, for :meth:`segments`; None = nobody's.

        Raises:
            OutOfDeviceMemory: The driver has no more, even after everything cached was given back.
            ConfigError: A negative size.
        """
        if size <= 0:
            return nothing(size)
        rounded = self.settings.rounded_bytes(size) if self._divides else (size + 511) & -512
        if stream or private_pool:
            cache = self._pools.of(private_pool)[rounded > SMALL_BYTES].cache(stream)
        else:
            cache = self._small if rounded <= SMALL_BYTES else self._large
        keys = cache.keys
        at = bisect_left(keys, rounded << SHIFT)
        if self._is_plain and at < len(keys):
            block = cache.blocks.pop(keys.pop(at))
        else:
            block = self._found(cache, rounded, at) or self._from_driver(cache, rounded, size)
        self._hand_out(block, rounded)
        block.requested = size
        block.owner = owner
        address, taken, stats = block.address, block.size, cache.stats
        self._live[address] = block
        self.allocated_bytes += taken
        stats.allocations += 1
        stats.allocated_bytes += taken
        stats.requested_bytes += size
        self._rising = True
        if self._recording:
            self._memory.record("alloc", address, size, stream)
        return address

    def free(self, address: int) -> None:
        """Give a block back to the cache; it can be reused at once.

        Args:
            address: As :meth:`allocate` returned it; 0 is ignored.

        Raises:
            ConfigError: Nothing is allocated there.
        """
        block = self._asked_back(address)
        if block is not None:
            self._into_cache(block)

    def free_later(self, address: int) -> None:
        """Give a block back that another stream still uses (``record_stream``): it is reused after :meth:`complete_free`.

        Args:
            address: As :meth:`allocate` returned it.

        Raises:
            ConfigError: Nothing is allocated there.
        """
        block = self._asked_back(address)
        if block is not None:
            block.state = PENDING
            self._pending[address] = block
            block.cache.stats.pending += 1
            block.cache.stats.pending_bytes += block.size

    def complete_free(self, address: int) -> None:
        """The other streams are done with a block of :meth:`free_later`.

        Args:
            address: Of the block.

        Raises:
            ConfigError: No block there waits for that.
        """
        block = self._pending.pop(address, None)
        if block is None:
            raise not_waiting(address)
        self._note_peaks()
        block.cache.stats.pending -= 1
        block.cache.stats.pending_bytes -= block.size
        self._into_cache(block)

    def empty_cache(self) -> None:
        """Give back to the driver whatever is not in use (``torch.cuda.empty_cache``)."""
        self._stats.num_sync_all_streams += 1
        for address in list(self._pending):
            self.complete_free(address)
        self._growth.release_cached()

    def reset_peaks(self) -> None:
        """Peaks count from here (``torch.cuda.reset_peak_memory_stats``).

        >>> card = CachingAllocator()
        >>> card.free(card.allocate(1024))
        >>> card.reset_peaks()
        >>> card.peak_allocated_bytes
        0
        """
        self._note_peaks()
        self._stats.reset_peaks()

    def set_memory_fraction(self, share: float) -> None:
        """Requests from now on may reserve this share of the card at most (``set_per_process_memory_fraction``).

        While the share is below 1, old segments are given back above garbage_collection_threshold.

        Args:
            share: From 0 to 1; 1 takes the limit away.

        Raises:
            ConfigError: The card has no size.
        """
        self._growth.limit(share)

    def restore(self, segments: Iterable[Segment]) -> None:
        """Begin with what another allocator held, e.g. where a recording begins in the middle of a program.

        What the counters counted before is not known: they begin with these segments and blocks. Free blocks are as
        old as if they had just become free.

        Args:
            segments: As :meth:`segments` returns them. This allocator must not have been used yet.

        Raises:
            ConfigError: It has been used.
        """
        if self._memory.heads:
            raise not_empty(self.reserved_bytes)
        for block in restored(self._memory, self._pools, segments, self._stats):
            (self._live if block.state == ALLOCATED else self._pending)[block.address] = block
            self.allocated_bytes += block.size if block.state == ALLOCATED else 0
        self._note_peaks()

    def release_private_pool(self, private_pool: int) -> None:
        """The CUDA graph of this private pool is gone: its free memory may go back to the driver.

        Args:
            private_pool: Its number.
        """
        self._pools.release(private_pool)

    # ------------------------------------------------------------ what it holds

    @property
    def reserved_bytes(self) -> int:
        """Held from the driver, in use or cached."""
        return self._memory.reserved_bytes

    @property
    def pending_frees(self) -> tuple[int, ...]:
        """Addresses of :meth:`free_later` that other streams still use, first come first."""
        return tuple(self._pending)

    @property
    def peak_allocated_bytes(self) -> int:
        """Highest :attr:`allocated_bytes` so far."""
        self._note_peaks()
        return self._stats.peaks.bytes

    @property
    def peak_reserved_bytes(self) -> int:
        """Highest :attr:`reserved_bytes` so far."""
        return self._stats.reserved.peak

    @property
    def entries(self) -> list[TraceEntry]:
        """Everything that was done, in order; empty without ``recording``."""
        return self._memory.entries

    def stats(self) -> dict[str, int]:
        """Counts and sums under the names of ``torch.cuda.memory_stats``.

        >>> CachingAllocator().stats()["allocated_bytes.all.peak"]
        0
        """
        self._note_peaks()
        return self._stats.as_dict()

    def segments(self) -> tuple[Segment, ...]:
        """What is held from the driver and how it is cut, by address, as a torch snapshot shows it."""
        return pictured(self._memory.heads, expandable=self._expandable)

    def reuses(self, size: int, *, stream: int = 0, private_pool: int = 0) -> bool:
        """Whether a cached block would serve this request, without the driver being asked.

        Args:
            size: Bytes.
            stream: CUDA stream.
            private_pool: Number of the pool.
        """
        rounded = self.settings.rounded_bytes(max(size, 1))
        cache = self._pools.of(private_pool)[rounded > SMALL_BYTES].cache(stream)
        return self._fitting(cache, rounded, bisect_left(cache.keys, rounded << SHIFT)) is not None

    # ------------------------------------------------------------ inside

    def _hand_out(self, block: Block, rounded: int) -> None:
        """Cut off what is not needed (``should_split``, ``alloc_found_block``)."""
        cache = block.cache
        was_split = block.prev is not None or block.next is not None
        extra = block.size - rounded
        if extra > cache.keep and (rounded < self._oversize or self._expandable):
            cache.add(block.cut(rounded))
            if self._expandable:
                pass  # torch does not count free pieces of expandable segments
            elif was_split:
                cache.stats.inactive_bytes -= rounded
            else:
                self._stats.change_inactive(cache.stats, 1, extra)
        elif was_split and not self._expandable:
            cache.stats.inactive -= 1
            cache.stats.inactive_bytes -= block.size
        if block.size >= self._oversize:
            self._stats.oversize_allocations.add(1)
        block.state = ALLOCATED

    def _asked_back(self, address: int) -> Block | None:
        """The block that is in use at this address, counted as freed (``free``); None for address 0."""
        block = self._live.pop(address, None)
        if block is None:
            if address:
                raise not_in_use(address)
            return None
        if self._rising:
            self._rising = False
            self._stats.note_peaks()
        stats, size = block.cache.stats, block.size
        stats.frees += 1
        stats.freed_bytes += size
        self.allocated_bytes -= size
        if size >= self._oversize:
            self._stats.oversize_allocations.add(-1)
        if self._recording:
            self._memory.record("free_requested", address, block.requested, block.cache.stream)
        return block

    def _into_cache(self, block: Block) -> None:
        """Merge with free neighbours and keep for reuse (``free_block``, ``try_merge_blocks``)."""
        cache, blocks, size = block.cache, 0, 0
        cache.stats.released_bytes += block.requested
        if self._recording:
            self._memory.record("free_completed", block.address, block.requested, cache.stream)
        before, after = block.prev, block.next
        block.state = FREE
        if after is not None and after.state == FREE:
            cache.remove(after)
            blocks, size = -1, -after.size
            block.absorb_next()
        if before is not None and before.state == FREE:
            cache.remove(before)
            blocks, size = blocks - 1, size - before.size
            before.absorb_next()
            block = before
        cache.add(block)
        if not self._expandable:
            if block.prev is not None or block.next is not None:
                blocks, size = blocks + 1, size + block.size
            self._stats.change_inactive(cache.stats, blocks, size)

    def _found(self, cache: Cache, rounded: int, at: int) -> Block | None:
        """The best fit among the free blocks, taken out of the cache (``get_free_block``)."""
        if self._growth.collects:
            cache.pool.searches += 1
        block = self._fitting(cache, rounded, at)
        if block is not None:
            cache.remove(block)
        return block

    def _fitting(self, cache: Cache, rounded: int, at: int) -> Block | None:
        """The best fit, from place ``at`` of the sorted free blocks on; None where there is none."""
        if at == len(cache.keys):
            return None
        block = cache.blocks[cache.keys[at]]
        if self._expandable:
            for place in range(at + 1, len(cache.keys)):  # a block that can grow counts with what it can grow to
                other = cache.blocks[cache.keys[place]]
                if expandable_bytes(other) >= expandable_bytes(block):
                    break
                block = other
        if rounded < self._oversize:
            return block if block.size < self._oversize else None
        return block if block.size < rounded + self.settings.max_non_split_rounding_bytes else None

    def _from_driver(self, cache: Cache, rounded: int, size: int) -> Block:
        """A block with new memory, in no cache; where the driver refuses, everything cached is given back first."""
        block = self._growth.block(cache, rounded)
        if block is None and not cache.pool.private_pool:  # nothing is given back while a graph is captured
            self.empty_cache()
            self._stats.num_alloc_retries += 1
            block = self._growth.new_segment(cache, rounded)
        if block is None:
            raise self._out_of_memory(cache, rounded, size)
        return block

    def _out_of_memory(self, cache: Cache, rounded: int, size: int) -> OutOfDeviceMemory:
        driver = self._memory.driver
        left = -1 if driver.capacity_bytes is None else driver.capacity_bytes - driver.used_bytes
        self._memory.record("oom", left, rounded, cache.stream)
        self._stats.num_ooms += 1
        return out_of_memory(
            size=size,
            segment=self.settings.segment_bytes(rounded),
            allocated=self.allocated_bytes,
            reserved=self.reserved_bytes,
            limit=self._growth.limit_bytes(),
        )

    def _note_peaks(self) -> None:
        self._rising = False
        self._stats.note_peaks()
