"""A snapshot of a real card, as PyTorch records it, in the terms of traces and pictures.

Format: ``torch.cuda.memory._snapshot()`` of PyTorch 2.1 to 2.13 (``torch/cuda/memory.py`` documents it;
``torch/csrc/cuda/Module.cpp`` writes it). Record with ``torch.cuda.memory._record_memory_history()`` first, else the
snapshot holds the blocks of that moment and no history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory._call_stacks import category_of, maker_of
from bigmodel_lab.memory._snapshot_file import read_plain_pickle
from bigmodel_lab.memory.requests import Allocation, Mark, RequestTrace
from bigmodel_lab.memory.segments import Block, Segment

Entry: TypeAlias = Mapping[str, Any]
_ROUNDED_TO = 512  # kMinBlockSize of c10/core/AllocatorConfig.h
_GROWS = {"segment_alloc": 1, "segment_map": 1, "segment_free": -1, "segment_unmap": -1}
State: TypeAlias = Literal["active_allocated", "active_pending_free", "inactive"]
_STATES: dict[str, State] = {
    "active_allocated": "active_allocated",
    "active_pending_free": "active_pending_free",
    "active_awaiting_free": "active_pending_free",  # so PyTorch's documentation calls it
    "inactive": "inactive",
}


@dataclass(frozen=True)
class Snapshot:
    """What a card held when the snapshot was taken, and how that came about as far as it was recorded.

    Draw it like a replay: ``allocated`` and ``reserved`` belong to the entries of ``trace``.
    """

    trace: RequestTrace
    """Requests and frees. What was there before the recording is asked for at its beginning."""
    allocated: tuple[int, ...]
    """Allocated bytes after each entry: exact for what was still there at the end, else the request rounded up to 512 B."""
    reserved: tuple[int, ...]
    """Reserved bytes after each entry."""
    segments: tuple[Segment, ...]
    """Segments at the end; ``owner`` of a block is its number in ``trace``."""
    device: int
    """Index of the card in that process."""
    card: str = ""
    """Name of the card; empty where it was not given, as snapshots do not hold it."""
    stopped_at: int | None = None
    """Position of the request that failed with an out-of-memory error last; None where none did."""

    @property
    def peak_position(self) -> int:
        """First position of the highest allocated; -1 where nothing was recorded."""
        return self.allocated.index(max(self.allocated)) if self.allocated else -1

    @property
    def peak_allocated_bytes(self) -> int:
        """Most that was allocated."""
        return max(self.allocated, default=0)

    @property
    def peak_reserved_bytes(self) -> int:
        """Most that was reserved."""
        return max(self.reserved, default=0)


def read_snapshot(source: Mapping[str, Any] | str | Path, *, device: int | None = None, card: str = "") -> Snapshot:
    """A snapshot of PyTorch's caching allocator.

    Args:
        source: What ``torch.cuda.memory._snapshot()`` returned, or a file of ``torch.cuda.memory._dump_snapshot()``,
            which is read without running what it says.
        device: Index of the card; None takes the one that holds most.
        card: Name of the card, for the pictures.

    Raises:
        DataError: It is no snapshot, or the file cannot be read.

    >>> block = {"size": 2048, "requested_size": 2000, "address": 512, "state": "active_allocated", "frames": []}
    >>> free = {"size": 1024, "requested_size": 0, "address": 2560, "state": "inactive", "frames": []}
    >>> segment = {"device": 0, "address": 512, "total_size": 3072, "stream": 0, "segment_type": "small", "blocks": [block, free]}
    >>> seen = read_snapshot({"segments": [segment], "device_traces": [[]]})
    >>> seen.allocated, seen.reserved, seen.segments[0].blocks[1].state
    ((2048,), (3072,), 'inactive')
    """
    found = read_plain_pickle(Path(source)) if isinstance(source, str | Path) else source
    if not isinstance(found, Mapping) or not {"segments", "device_traces"} <= set(found):
        raise DataError(
            text(
                "error.no_snapshot",
                "This is no memory snapshot: it is a {kind} without the keys 'segments' and 'device_traces'. Give what "
                "torch.cuda.memory._snapshot() returns, or a file of torch.cuda.memory._dump_snapshot().",
                kind=type(found).__name__,
            )
        )
    chosen = _fullest(found["segments"]) if device is None else device
    segments = [segment for segment in found["segments"] if segment.get("device", 0) == chosen]
    traces = found["device_traces"]
    return _Reading(segments, traces[chosen] if chosen < len(traces) else ()).snapshot(chosen, card)


def _fullest(segments: Iterable[Entry]) -> int:
    held: Counter[int] = Counter()
    for segment in segments:
        held[segment.get("device", 0)] += segment["total_size"]
    return held.most_common(1)[0][0] if held else 0


@dataclass
class _Found:
    """One allocation while it is being read."""

    bytes: int
    block_bytes: int
    frames: Sequence[Entry]
    stays: bool = True

    def allocation(self) -> Allocation:
        """As it stands in the trace."""
        return Allocation(self.bytes, category_of(self.frames, stays=self.stays), maker=maker_of(self.frames))


@dataclass
class _Reading:
    """Goes through the history once; the blocks at the end say what came before it and was never given back."""

    segments: Sequence[Entry]
    history: Sequence[Entry]
    earlier: list[_Found] = field(default_factory=list)
    later: list[_Found] = field(default_factory=list)
    sequence: list[tuple[bool, _Found, int]] = field(default_factory=list)  # born or given back; reserved has grown by
    marks: list[tuple[int, str]] = field(default_factory=list)
    alive: dict[int, _Found] = field(default_factory=dict)
    pending: dict[int, _Found] = field(default_factory=dict)
    grown: int = 0
    stopped_at: int | None = None

    def snapshot(self, device: int, card: str) -> Snapshot:
        """Read all of it."""
        for entry in self.history:
            self._read(entry)
        self._find_what_stayed()
        before = len(self.earlier)
        asked = [(True, found, 0) for found in self.earlier]
        numbers = {id(found): number for number, found in enumerate([*self.earlier, *self.later])}
        reserved_before = sum(segment["total_size"] for segment in self.segments) - self.grown
        entries = [*asked, *self.sequence]
        return Snapshot(
            trace=RequestTrace(
                tuple(found.allocation() for found in (*self.earlier, *self.later)),
                tuple(numbers[id(found)] if born else ~numbers[id(found)] for born, found, _ in entries),
                tuple(Mark(position + before, phase, -1) for position, phase in self.marks),
                self._notes(),
            ),
            allocated=tuple(
                _running((found.block_bytes if born else -found.block_bytes) for born, found, _ in entries)
            ),
            reserved=tuple(reserved_before + grown for *_, grown in entries),
            segments=tuple(self._segment(segment, numbers) for segment in self.segments),
            device=device,
            card=card,
            stopped_at=None if self.stopped_at is None else self.stopped_at + before,
        )

    def _read(self, entry: Entry) -> None:
        action = entry["action"]
        if action == "alloc":
            self._born(entry)
        elif action == "free_requested":
            self._freed(entry)
        elif action == "free_completed":
            self.pending.pop(entry["addr"], None)
        elif action == "oom":
            self.stopped_at = len(self.sequence)
        elif action in _GROWS:
            self.grown += _GROWS[action] * entry["size"]

    def _born(self, entry: Entry) -> None:
        found = _Found(entry["size"], _rounded(entry["size"]), entry.get("frames", ()))
        self._mark(entry)
        self.later.append(found)
        self.alive[entry["addr"]] = found
        self.sequence.append((True, found, self.grown))

    def _freed(self, entry: Entry) -> None:
        found = self.alive.pop(entry["addr"], None)
        if found is None:  # it was there before the recording
            found = _Found(entry["size"], _rounded(entry["size"]), ())
            self.earlier.append(found)
        found.stays = False
        self.pending[entry["addr"]] = found
        self.sequence.append((False, found, self.grown))

    def _mark(self, entry: Entry) -> None:
        """What ``torch.cuda.memory._set_memory_metadata`` said is the name of a phase."""
        phase = entry.get("user_metadata", "")
        if phase and (not self.marks or self.marks[-1][1] != phase):
            self.marks.append((len(self.sequence), phase))

    def _find_what_stayed(self) -> None:
        """The blocks in use at the end: their true length, and those that no entry of the history asked for."""
        for block in _located(self.segments):
            if block["state"] == "active_allocated":
                found = self.alive.get(block["address"])
                if found is None:
                    found = _Found(block.get("requested_size", block["size"]), 0, block.get("frames", ()))
                    self.earlier.append(found)
                    self.alive[block["address"]] = found
                found.block_bytes = block["size"]

    def _segment(self, segment: Entry, numbers: Mapping[int, int]) -> Segment:
        private_pool = segment.get("segment_pool_id", (0, 0))
        return Segment(
            address=segment["address"],
            bytes=segment["total_size"],
            pool="small" if segment["segment_type"] == "small" else "large",
            stream=segment["stream"],
            blocks=tuple(self._block(block, numbers) for block in _located([segment])),
            is_expandable=bool(segment.get("is_expandable", False)),
            private_pool=private_pool[1] or private_pool[0],  # one of the two is 0
        )

    def _block(self, block: Entry, numbers: Mapping[int, int]) -> Block:
        state = _STATES[block["state"]]
        asked = 0 if state == "inactive" else block.get("requested_size", block["size"])
        held = {"active_allocated": self.alive, "active_pending_free": self.pending, "inactive": {}}[state]
        found = held.get(block["address"])
        return Block(block["address"], block["size"], asked, state, None if found is None else numbers[id(found)])

    def _notes(self) -> tuple[str, ...]:
        if not self.history:
            return (
                text(
                    "snapshot.no_history",
                    "The snapshot holds no history. Call torch.cuda.memory._record_memory_history() before what you "
                    "want to see.",
                ),
            )
        return (
            text(
                "snapshot.guessed",
                "Categories are read from the recorded call stacks; what they do not tell is shown as not recorded. "
                "Memory that was given back counts as its request rounded up to 512 B: a recording does not hold the "
                "length of its block.",
            ),
        )


def _located(segments: Iterable[Entry]) -> list[dict[str, Any]]:
    """Blocks with their addresses, which PyTorch writes since 2.1."""
    located = []
    for segment in segments:
        address = segment["address"]
        for block in segment["blocks"]:
            located.append({"address": address, **block})
            address += block["size"]
    return located


def _running(changes: Iterable[int]) -> Iterable[int]:
    total = 0
    for change in changes:
        total += change
        yield total


def _rounded(size: int) -> int:
    return max(1, -(-size // _ROUNDED_TO)) * _ROUNDED_TO
