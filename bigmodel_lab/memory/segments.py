"""What an allocator holds at one moment: segments from the driver, cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Block:
    """A stretch of a segment that is in use, or free for reuse."""

    address: int
    """Of its first byte."""
    bytes: int
    """Length, after rounding."""
    requested_bytes: int
    """What the program asked for; 0 while free."""
    state: Literal["active_allocated", "active_pending_free", "inactive"]
    """As torch's snapshots name it."""
    owner: int | None = None
    """Number of the allocation in the trace that was replayed; None while free or where nobody knows."""


@dataclass(frozen=True)
class Segment:
    """One piece of memory from the driver."""

    address: int
    """Of its first byte."""
    bytes: int
    """Length."""
    pool: Literal["small", "large"]
    """Which requests it serves: up to 1 MiB, or more."""
    stream: int
    """CUDA stream that it belongs to."""
    blocks: tuple[Block, ...]
    """Without gaps, by address."""
    is_expandable: bool = False
    """It can grow in place."""
    private_pool: int = 0
    """Number of the pool of a CUDA graph; 0 is the common one."""
