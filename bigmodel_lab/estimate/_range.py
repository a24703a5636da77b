"""How much reserved memory varies between runs of the same script, and from card to card.

A caching allocator is sensitive: requests that are 0.3 % larger fill other gaps, and the reserved peak of some programs
moves by 10 %, of most by nothing. So the range comes from the program itself: the same requests are replayed with
slightly other sizes, and the program that hardly minds gets a narrow range.

Not in it: where a card is full, the allocator gives back what it caches and asks again, so that a program may run although
the upper end lies above the card. Verdicts leave that aside, as it costs time and does not always help.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import Replay, most_reserved, replay, reserves_at_most
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import SMALL_BYTES, AllocatorSettings

_SPREAD = 0.02
"""Half of what remains beside workspaces. Of 81 groups of runs of one script the reserved peaks spread over 1.8 % in the
median and 5.2 % in the 90th percentile (logs of modded-nanogpt, counted 2026)."""
_SHIFTS = (0.01, 0.003, -0.003, -0.01)
"""By these shares the sizes of what comes and goes are changed, one replay each, the one that asks for most first. Of a
Llama with eager attention on a T4 the replay reserves 6,824 MiB and those with other sizes 6,776 to 7,376; measured were
7,304 (fitcheck, 2026-09-15)."""
_COMES_AND_GOES = frozenset(("activation", "temporary"))
_GUESSED = "cuDNN"
"""Whose workspaces nobody publishes; the others' sizes are written in PyTorch's source."""


def reserved_range(trace: RequestTrace, replayed: Replay, settings: AllocatorSettings) -> tuple[int, int]:
    """Least and most bytes that the caching allocator is expected to hold at its peak.

    Replays bound it: as traced, without the workspaces whose size only a library on the card knows and with twice of
    them, each with the spread that is seen between runs; and with slightly other sizes.

    Args:
        trace: Requests, workspaces included.
        replayed: The trace as it is, replayed.
        settings: Of the allocator.
    """
    guessed = [replay(_with_workspaces(trace, factor), CachingAllocator(settings)) for factor in _factors(trace)]
    shifted = [most_reserved(trace, settings, sizes) for sizes in _shifted(trace)]
    replays = [replayed, *guessed]
    least = min(replays, key=lambda one: one.peak_reserved_bytes)
    most = max(one.peak_reserved_bytes for one in replays)
    held = min(round(least.peak_reserved_bytes * (1 - _SPREAD)), *shifted)
    return max(least.peak_allocated_bytes, held), max(round(most * (1 + _SPREAD)), *shifted)  # what is in use is held


def stays_within(trace: RequestTrace, room_bytes: int, settings: AllocatorSettings) -> bool:
    """The upper end of :func:`reserved_range` is no more than this; the same answer, quicker, as each replay ends where it is.

    Args:
        trace: Requests, workspaces included.
        room_bytes: Most bytes that may be reserved.
        settings: Of the allocator.
    """
    if not may_stay_within(trace, room_bytes, settings):
        return False
    return all(reserves_at_most(trace, room_bytes, settings, sizes) for sizes in _shifted(trace))


def may_stay_within(trace: RequestTrace, room_bytes: int, settings: AllocatorSettings) -> bool:
    """False where :func:`stays_within` is; True, from a part of its replays, where only other sizes might reserve more.

    Args:
        trace: Requests, workspaces included.
        room_bytes: Most bytes that may be reserved.
        settings: Of the allocator.
    """
    room = int((room_bytes + 0.5) / (1 + _SPREAD))
    guessed = (_with_workspaces(trace, factor) for factor in reversed(_factors(trace)))
    return all(reserves_at_most(one, room, settings) for one in (*guessed, trace))


def _factors(trace: RequestTrace) -> tuple[int, ...]:
    """Of workspaces that are guessed, where there are any."""
    return (0, 2) if any(map(_is_guessed, trace.allocations)) else ()


def _with_workspaces(trace: RequestTrace, factor: int) -> RequestTrace:
    changed = (replace(a, bytes=a.bytes * factor) if _is_guessed(a) else a for a in trace.allocations)
    return replace(trace, allocations=tuple(changed))


def _shifted(trace: RequestTrace) -> Iterator[list[int]]:
    """Sizes of all requests, with others of what comes and goes in the large pool."""
    varies = [one.bytes > SMALL_BYTES and one.category in _COMES_AND_GOES for one in trace.allocations]
    sizes = [one.bytes for one in trace.allocations]
    for share in _SHIFTS:
        yield [round(size * (1 + share)) if other else size for size, other in zip(sizes, varies, strict=True)]


def _is_guessed(allocation: Allocation) -> bool:
    return not allocation.dtype and allocation.maker.startswith(_GUESSED)
