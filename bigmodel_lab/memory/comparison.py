"""Whether the simulated allocator does what a recorded one did, event by event."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory._device import TraceEntry
from bigmodel_lab.memory._driver import Driver
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.recording import Recording
from bigmodel_lab.memory.settings import SMALL_SEGMENT_BYTES, AllocatorSettings

_GIVES_BACK = ("segment_free", "segment_unmap")
_COMES = ("segment_alloc", "segment_map")
_NOWHERE = 1 << 60
"""Above every real address: where addresses are made up for an expandable segment that never got memory."""


@dataclass(frozen=True)
class Comparison:
    """A recording beside what the simulated allocator did with the same requests."""

    allocator: CachingAllocator
    """The simulated one, after the last request that was compared; its ``entries`` are what it did."""
    position: int | None
    """First event that differs; None when none does."""
    recorded: TraceEntry | None
    """That event; None where the recording had ended, or nothing differs."""
    simulated: TraceEntry | None
    """What the simulated allocator did instead; None where it did nothing, or nothing differs."""

    @property
    def is_exact(self) -> bool:
        """Whether every event is the same: action, address, bytes and stream."""
        return self.position is None


class _RecordedDriver(Driver):
    """Gives what the recorded driver gave, at the same addresses, and refuses where it refused."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(total_bytes=recording.total_bytes)
        self._next_address = _NOWHERE
        self._events = recording.events
        self._reserved: list[range] = []
        self.done: Sequence[TraceEntry] = ()

    def allocate(self, size: int) -> int | None:
        """The address of the recorded segment that comes next; None where the recording gives back first, or fails."""
        del size  # a different one shows when the entries are compared
        return self._address_of_next("segment_alloc")

    def reserve(self, size: int, *, stream: int, is_small: bool) -> int:
        """Where the recording first maps such pages outside the addresses that are reserved already.

        A segment is reserved before its first page is mapped, and that may be refused: others may come in between.
        """
        later = self._events[len(self.done) :]
        like = (event for event in later if event.stream == stream and (event.bytes == SMALL_SEGMENT_BYTES) == is_small)
        address = next((event.address for event in like if self._is_new(event)), None)
        address = super().reserve(size, stream=stream, is_small=is_small) if address is None else address
        self.adopt_addresses(address, size)
        return address

    def return_addresses(self, address: int) -> None:
        """Another segment may come there."""
        self._reserved = [known for known in self._reserved if known.start != address]

    def map(self, address: int, size: int) -> bool:
        """Whether the recorded driver mapped pages next."""
        del address, size
        return self._address_of_next("segment_map") is not None

    def adopt_addresses(self, address: int, size: int) -> None:
        """Pages inside them are no new segment."""
        self._reserved.append(range(address, address + size))

    def _is_new(self, event: TraceEntry) -> bool:
        return event.action == "segment_map" and not any(event.address in known for known in self._reserved)

    def _address_of_next(self, action: str) -> int | None:
        place = len(self.done)
        event = self._events[place] if place < len(self._events) else None
        return event.address if event is not None and event.action == action else None


def compare(recording: Recording) -> Comparison:
    """Make the recorded requests to a simulated allocator, and compare everything that both did.

    The recording tells what a simulation cannot know: the addresses of segments, since the best fit breaks ties by
    address, and when the driver refused. Calls of ``empty_cache`` are not recorded; they are told from segments that
    go back although a cached block would serve the next request. That can fail where max_split_size_mb or
    garbage_collection_threshold is set, because memory then goes back in an order of its own; record those without
    calling ``empty_cache``, on one stream.

    Args:
        recording: Of a real card, or of a simulated allocator.
    """
    driver = _RecordedDriver(recording)
    allocator = CachingAllocator(AllocatorSettings.parse(recording.settings), recording=True, driver=driver)
    done, events = allocator.entries, recording.events
    driver.done = done
    allocator.restore(recording.beginning)
    fractions = deque(sorted(recording.fractions, key=lambda fraction: fraction[0]))
    while len(done) < len(events):
        begin = len(done)
        while fractions and fractions[0][0] <= begin:
            allocator.set_memory_fraction(fractions.popleft()[1])
        _do_next(allocator, events, begin)
        for place in range(begin, max(len(done), begin + 1)):
            recorded = events[place] if place < len(events) else None
            simulated = done[place] if place < len(done) else None
            if recorded is None or simulated is None or not _same(recorded, simulated):
                return Comparison(allocator, place, recorded, simulated)
    return Comparison(allocator, None, None, None)


def _do_next(allocator: CachingAllocator, events: Sequence[TraceEntry], place: int) -> None:
    """Make the request that the recorded events belong to from this place on."""
    event = events[place]
    if event.action == "free_requested":
        (allocator.free if _at_once(allocator, events, place) else allocator.free_later)(event.address)
    elif event.action == "free_completed" and not _waits_for_all(allocator, events, place):
        allocator.complete_free(event.address)
    else:
        _ask(allocator, events, place)


def _at_once(allocator: CachingAllocator, events: Sequence[TraceEntry], place: int) -> bool:
    """Whether a free completes by itself, and not because a request finds no memory and waits for it."""
    event, after = events[place], events[place + 1 : place + 3]
    if not after or after[0].action != "free_completed" or after[0].address != event.address:
        return False
    settings = allocator.settings
    in_order = settings.max_split_size_mb is None and settings.garbage_collection_threshold == 0
    return not (in_order and after[-1].action in (*_GIVES_BACK, "oom"))


def _waits_for_all(allocator: CachingAllocator, events: Sequence[TraceEntry], place: int) -> bool:
    """Whether all frees that are pending complete here and memory goes back then, or a request fails.

    That is what a request does that finds no memory, and empty_cache: they are asked to do it.
    """
    completed: list[int] = []
    while place < len(events) and events[place].action == "free_completed":
        completed.append(events[place].address)
        place += 1
    follows = place < len(events) and events[place].action in (*_GIVES_BACK, "oom")
    return follows and completed == list(allocator.pending_frees)


def _ask(allocator: CachingAllocator, events: Sequence[TraceEntry], place: int) -> None:
    """An allocation, or a call of empty_cache where memory goes back for no allocation's sake."""
    between = list(takewhile(_is_on_the_way, events[place:]))
    after = place + len(between)
    wanted = events[after] if after < len(events) and events[after].action in ("alloc", "oom") else None
    if between and between[0].action not in _COMES and not _gave_back_for(allocator, between, wanted):
        allocator.empty_cache()
    elif wanted is not None:
        with suppress(OutOfDeviceMemory):  # its entry says so, and is compared
            allocator.allocate(wanted.bytes, stream=wanted.stream)


def _gave_back_for(allocator: CachingAllocator, between: Sequence[TraceEntry], wanted: TraceEntry | None) -> bool:
    """Whether memory went back for this request: it fails, or memory comes for it, and no cached block serves it."""
    if wanted is None or (wanted.action == "alloc" and not any(event.action in _COMES for event in between)):
        return False
    return not allocator.reuses(wanted.bytes, stream=wanted.stream)


def _is_on_the_way(event: TraceEntry) -> bool:
    """What happens between the call of a request and its end."""
    return event.action == "free_completed" or event.action in (*_GIVES_BACK, *_COMES)


def _same(recorded: TraceEntry, simulated: TraceEntry) -> bool:
    if recorded.action == "oom":  # its address is what the card had left, which a simulation does not know
        return recorded.action == simulated.action and recorded[2:] == simulated[2:]
    return recorded == simulated
