"""What PYTORCH_ALLOC_CONF says to CUDA's caching allocator, and the sizes that follow from it.

Names, defaults and limits as in PyTorch 2.13: ``c10/core/AllocatorConfig.{h,cpp}`` and
``c10/cuda/CUDAAllocatorConfig.h``. Everything called ``mb`` there is a power of 1024, here too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.memory._conf import (
    NONE,
    pairs,
    read_divisions,
    read_share,
    read_switch,
    read_whole,
    refuse,
    written_divisions,
)

MIN_BLOCK_BYTES = 512
"""Every request is rounded up to a multiple of it (``kMinBlockSize``)."""
SMALL_BYTES = 1 << 20
"""Largest request that the small pool serves, after rounding (``kSmallSize``)."""
SMALL_SEGMENT_BYTES = 2 << 20
"""What the small pool asks of the driver (``kSmallBuffer``)."""
MIN_LARGE_BYTES = 10 << 20
"""From here on a request has a segment of its own size (``kMinLargeAlloc``)."""
ROUND_LARGE_BYTES = 2 << 20
"""Segments of their own size are multiples of it (``kRoundLarge``)."""
_MIB = 1 << 20
_WITHOUT_EFFECT = frozenset(
    (
        "backend",
        "release_lock_on_cudamalloc",
        "release_lock_on_hipmalloc",
        "graph_capture_record_stream_reuse",
        "pinned_use_cuda_host_register",
        "pinned_use_hip_host_register",
        "pinned_use_background_threads",
        "pinned_num_register_threads",
        "pinned_reserve_segment_size_mb",
        "pinned_max_round_threshold_mb",
        "pinned_max_cached_size_mb",
        "pinned_free_catch_all",
        "throw_on_cudamalloc_oom",
    )
)
"""Known to PyTorch, and of no consequence for what a card's memory holds."""
_ONLY = {"backend": "native", "throw_on_cudamalloc_oom": "False"}
"""Known to PyTorch, and simulated with this value alone."""
_BETWEEN = Text("allocator.allowed.between", "a number between 0 and 1, both excluded")


@dataclass(frozen=True)
class AllocatorSettings:
    """Settings of the allocator, fixed for its life.

    Raises:
        ConfigError: A value that PyTorch refuses as well; the message says what is allowed.

    >>> AllocatorSettings.parse("max_split_size_mb:128,expandable_segments:False").max_split_size_mb
    128
    """

    max_split_size_mb: int | None = None
    """Blocks of this size and above are never cut nor used for smaller requests; None = all are cut."""
    roundup_power2_divisions: tuple[int, ...] = NONE
    """Steps between two powers of two, one number for each of the 16 sizes 1 MiB, 2 MiB … 32 GiB; 0 or 1 = none.
    The first one also holds for what is smaller, the last one for what is larger."""
    garbage_collection_threshold: float = 0.0
    """Share of the allowed memory above which old cached segments are given back; 0 = never."""
    max_non_split_rounding_mb: int | None = None
    """By how much a block of max_split_size or more may exceed its request; None = large_segment_size_mb."""
    expandable_segments: bool = False
    """Segments grow in place, page by page."""
    large_segment_size_mb: int = 20
    """What the large pool asks of the driver for a request below 10 MiB, and the page of its expandable segments."""
    per_process_memory_fraction: float = 1.0
    """Share of the card's total that this process may reserve."""

    def __post_init__(self) -> None:
        least = self.large_segment_size_mb
        if least <= MIN_LARGE_BYTES // _MIB:
            refuse("large_segment_size_mb", least, text("allocator.allowed.segment", "a whole number above 10"))
        for name in ("max_split_size_mb", "max_non_split_rounding_mb"):
            value = getattr(self, name)
            if value is not None and value < least:
                refuse(name, value, text("allocator.allowed.least", "{least} (the large segment) or more", least=least))
        if not 0 <= self.garbage_collection_threshold < 1:
            refuse("garbage_collection_threshold", self.garbage_collection_threshold, _BETWEEN)
        if not 0 <= self.per_process_memory_fraction <= 1:
            allowed = text("allocator.allowed.fraction", "a number from 0 to 1")
            refuse("per_process_memory_fraction", self.per_process_memory_fraction, allowed)
        written = written_divisions(self.roundup_power2_divisions)
        if read_divisions("roundup_power2_divisions", written) != self.roundup_power2_divisions:
            allowed = text("allocator.allowed.sixteen", "16 numbers, one a size from 1 MiB to 32 GiB")
            refuse("roundup_power2_divisions", self.roundup_power2_divisions, allowed)

    @classmethod
    def parse(cls, conf: str) -> AllocatorSettings:
        """The settings that a value of PYTORCH_ALLOC_CONF means.

        Args:
            conf: For example ``"max_split_size_mb:128,roundup_power2_divisions:[256:1,512:2,>:8]"``; empty for
                the defaults. Settings that do not touch the card's memory are read over.

        Raises:
            ConfigError: An unknown name, or a value that is not allowed.

        >>> AllocatorSettings.parse("roundup_power2_divisions:4").rounded_bytes(1_200_000)
        1310720
        """
        values: dict[str, int | float | tuple[int, ...]] = {}
        for name, written in pairs(conf):
            if _ONLY.get(name, written) != written:
                refuse(name, written, text("allocator.allowed.only", "only {one!r} is simulated", one=_ONLY[name]))
            if name in _READERS:
                values[name] = _READERS[name](name, written)
            elif name not in _WITHOUT_EFFECT:
                refuse(
                    name, written, text("allocator.allowed.names", "the settings {names}", names=", ".join(_READERS))
                )
        if values.get("garbage_collection_threshold") == 0:  # the default, yet nothing that PyTorch lets one write
            refuse("garbage_collection_threshold", 0, _BETWEEN)
        return cls(**values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """As PYTORCH_ALLOC_CONF takes it; empty for the defaults.

        >>> str(AllocatorSettings(max_split_size_mb=128, expandable_segments=True))
        'max_split_size_mb:128,expandable_segments:True'
        """
        changed = ((name, getattr(self, name)) for name in _READERS if getattr(self, name) != getattr(_DEFAULT, name))
        return ",".join(f"{name}:{written_divisions(v) if isinstance(v, tuple) else v}" for name, v in changed)

    @property
    def max_split_bytes(self) -> int:
        """Blocks of this size and above are never cut; larger than any block where there is no limit."""
        return sys.maxsize if self.max_split_size_mb is None else self.max_split_size_mb * _MIB

    @property
    def max_non_split_rounding_bytes(self) -> int:
        """By how much an oversize block may exceed its request."""
        megabytes = self.max_non_split_rounding_mb
        return (self.large_segment_size_mb if megabytes is None else megabytes) * _MIB

    @property
    def large_segment_bytes(self) -> int:
        """Segment of the large pool for a request below 10 MiB."""
        return self.large_segment_size_mb * _MIB

    def rounded_bytes(self, size: int) -> int:
        """Length of the block that a request of this size is given, before the question of splitting.

        Source: CUDACachingAllocator.cpp, ``round_size`` and ``roundup_power2_next_division``.

        Args:
            size: What the program asks for, in bytes, at least 1.

        >>> AllocatorSettings().rounded_bytes(1), AllocatorSettings().rounded_bytes(1300)
        (512, 1536)
        """
        divisions = self.roundup_power2_divisions[min(max(size.bit_length() - 21, 0), 15)]
        step = MIN_BLOCK_BYTES
        if divisions > 1 and size > MIN_BLOCK_BYTES * divisions:
            step = (1 << (size.bit_length() - 1)) // divisions
        return -(-size // step) * step

    def segment_bytes(self, rounded: int) -> int:
        """What the driver is asked for when no cached block serves.

        Source: CUDACachingAllocator.cpp, ``get_allocation_size``.

        Args:
            rounded: Size of the request after rounding, in bytes.

        >>> [AllocatorSettings().segment_bytes(size) >> 20 for size in (512, 2 << 20, 11 << 20)]
        [2, 20, 12]
        """
        if rounded <= SMALL_BYTES:
            return SMALL_SEGMENT_BYTES
        if rounded < MIN_LARGE_BYTES:
            return self.large_segment_bytes
        return -(-rounded // ROUND_LARGE_BYTES) * ROUND_LARGE_BYTES


_READERS: dict[str, Callable[[str, str], int | float | tuple[int, ...]]] = {
    "max_split_size_mb": read_whole,
    "roundup_power2_divisions": read_divisions,
    "garbage_collection_threshold": read_share,
    "max_non_split_rounding_mb": read_whole,
    "expandable_segments": read_switch,
    "large_segment_size_mb": read_whole,
    "per_process_memory_fraction": read_share,
}
"""How each setting is read, in the order in which they are written."""
_DEFAULT = AllocatorSettings()
