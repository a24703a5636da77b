"""How far the reserved memory of one and the same script lies apart from run to run and card to card."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import Replay, replay, reserves_at_most
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings

_SPREAD = 0.02
"""Half of what remains beside workspaces. Of 81 groups of runs of one script the reserved peaks spread over 1.8 % in the
median and 5.2 % in the 90th percentile (logs of modded-nanogpt, counted 2026)."""
_GUESSED = "cuDNN"
"""Whose workspaces nobody publishes; the others' sizes are written in PyTorch's source."""


def reserved_range(trace: RequestTrace, replayed: Replay, settings: AllocatorSettings) -> tuple[int, int]:
    """Least and most bytes that the caching allocator is expected to hold at its peak.

    Three replays bound it: as traced, without the workspaces whose size only a library on the
    card knows, and with twice of them; then the spread that is seen between runs is added.

    Args:
        trace: Requests, workspaces included.
        replayed: The trace as it is, replayed.
        settings: Of the allocator.
    """
    replays = [replayed]
    if any(map(_is_guessed, trace.allocations)):
        replays += [replay(_with_workspaces(trace, factor), CachingAllocator(settings)) for factor in (0, 2)]
    least = min(replays, key=lambda one: one.peak_reserved_bytes)
    most = max(one.peak_reserved_bytes for one in replays)
    held = max(least.peak_allocated_bytes, round(least.peak_reserved_bytes * (1 - _SPREAD)))  # what is in use is held
    return held, round(most * (1 + _SPREAD))


def stays_within(trace: RequestTrace, room_bytes: int, settings: AllocatorSettings) -> bool:
    """The upper end of :func:`reserved_range` is no more than this; the same answer, quicker, as each replay ends where it is.

    Args:
        trace: Requests, workspaces included.
        room_bytes: Most bytes that may be reserved.
        settings: Of the allocator.
    """
    room = int((room_bytes + 0.5) / (1 + _SPREAD))
    guessed = any(map(_is_guessed, trace.allocations))
    variants = (_with_workspaces(trace, factor) for factor in (2, 0)) if guessed else ()
    return all(reserves_at_most(one, room, settings) for one in (*variants, trace))


def _with_workspaces(trace: RequestTrace, factor: int) -> RequestTrace:
    changed = (replace(a, bytes=a.bytes * factor) if _is_guessed(a) else a for a in trace.allocations)
    return replace(trace, allocations=tuple(changed))


def _is_guessed(allocation: Allocation) -> bool:
    return not allocation.dtype and allocation.maker.startswith(_GUESSED)
