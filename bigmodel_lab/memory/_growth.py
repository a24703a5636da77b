"""New blocks: from the driver, and from what can be given back to it first."""

from __future__ import annotations

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory import _expandable
from bigmodel_lab.memory._blocks import Block, Cache, Pools
from bigmodel_lab.memory._device import DeviceMemory
from bigmodel_lab.memory._release import collect_garbage, release_cached, release_oversize
from bigmodel_lab.memory.settings import AllocatorSettings


class Growth:
    """What happens when no cached block serves a request (second half of ``malloc``)."""

    def __init__(self, memory: DeviceMemory, pools: Pools, settings: AllocatorSettings) -> None:
        """For one card.

        Raises:
            ConfigError: A memory fraction is set and the card's size is not known.
        """
        self._memory, self._pools, self._settings = memory, pools, settings
        self._expandable = settings.expandable_segments
        self.allowed_bytes = self._share_of(settings.per_process_memory_fraction)
        """What this process may reserve; None where no fraction is set."""

    @property
    def collects(self) -> bool:
        """Whether old segments are given back before the memory is full: while a fraction below 1 is set."""
        return self.allowed_bytes is not None and self._settings.garbage_collection_threshold > 0

    def block(self, cache: Cache, rounded: int) -> Block | None:
        """A block with new memory, in no cache; oversize segments are given back where that helps."""
        if self.collects and not self._expandable:
            assert self.allowed_bytes is not None
            threshold = int(self._settings.garbage_collection_threshold * self.allowed_bytes)
            collect_garbage(self._memory, self._pools.large, threshold)
        block = self.new_segment(cache, rounded)
        limited = self._settings.max_split_size_mb is not None and not self._expandable
        if block is None and limited and self._release_oversize(cache, rounded):
            block = self.new_segment(cache, rounded)
        return block

    def new_segment(self, cache: Cache, rounded: int) -> Block | None:
        """Ask the driver once (``alloc_block``); None where it refuses or the share of this process is used up."""
        size = self._settings.segment_bytes(rounded)
        if self.allowed_bytes is not None and self._memory.reserved_bytes + size > self.allowed_bytes:
            return None
        if self._expandable:
            return _expandable.grow(self._memory, cache, rounded)
        return self._memory.open_segment(cache, size)

    def release_cached(self) -> None:
        """Give back to the driver whatever is not in use."""
        release_cached(self._memory, self._pools.releasable(), expandable=self._expandable)

    def limit_bytes(self) -> int | None:
        """What this process may reserve in all; None where the driver alone decides."""
        limits = [size for size in (self.allowed_bytes, self._memory.driver.capacity_bytes) if size is not None]
        return min(limits, default=None)

    def _release_oversize(self, cache: Cache, rounded: int) -> bool:
        return release_oversize(self._memory, cache, rounded, self._settings.max_split_bytes)

    def limit(self, fraction: float) -> None:
        """This process may reserve this share of the card from now on; 1 is no limit (``setMemoryFraction``).

        Raises:
            ConfigError: The card's size is not known.
        """
        self.allowed_bytes = self._share_of(fraction)

    def _share_of(self, fraction: float) -> int | None:
        total = self._memory.driver.total_bytes
        if fraction == 1:
            return None
        if total is None:
            raise ConfigError(
                text(
                    "allocator.fraction_of_what",
                    "per_process_memory_fraction is {fraction}, and the card has no size. Give the allocator a "
                    "capacity_bytes, or a Driver that knows the card's total_bytes.",
                    fraction=fraction,
                )
            )
        return int(fraction * total)
