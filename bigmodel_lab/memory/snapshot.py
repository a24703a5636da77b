"""A snapshot of a real card, as PyTorch records it, in the terms of traces and pictures.

Format: ``torch.cuda.memory._snapshot()`` of PyTorch 2.1 to 2.13 (``torch/cuda/memory.py`` documents it;
``torch/csrc/cuda/Module.cpp`` writes it). Record with ``torch.cuda.memory._record_memory_history()`` first, else the
snapshot holds the blocks of that moment and no history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from bigmodel_lab.errors import ConfigError, DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory._call_stacks import NOTHING, Told, maker_of, told_by
from bigmodel_lab.memory._conf import NONE
from bigmodel_lab.memory._device import TraceEntry
from bigmodel_lab.memory._layout import laid_out
from bigmodel_lab.memory._picture import pictured_segment
from bigmodel_lab.memory._snapshot_file import read_plain_pickle
from bigmodel_lab.memory.requests import Allocation, Mark, RequestTrace
from bigmodel_lab.memory.segments import Block, Segment
from bigmodel_lab.memory.settings import AllocatorSettings

Entry: TypeAlias = Mapping[str, Any]
_GROWS = {"segment_alloc": 1, "segment_map": 1, "segment_free": -1, "segment_unmap": -1}
_PASSED_OVER = ("snapshot", "user_defined")


@dataclass(frozen=True)
class Snapshot:
    """What a card held when the snapshot was taken, and how that came about as far as it was recorded.

    Draw it like a replay: ``allocated`` and ``reserved`` belong to the entries of ``trace``.
    """

    trace: RequestTrace
    """Requests and frees. What was there before the recording is asked for at its beginning."""
    allocated: tuple[int, ...]
    """Allocated bytes after each entry, in blocks: their lengths follow from the addresses of their neighbours."""
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
    history = traces[chosen] if chosen < len(traces) else ()
    return _Reading(segments, history, settings_of(found)).snapshot(chosen, card)


def _fullest(segments: Iterable[Entry]) -> int:
    held: Counter[int] = Counter()
    for segment in segments:
        held[segment.get("device", 0)] += segment["total_size"]
    return held.most_common(1)[0][0] if held else 0


def settings_of(snapshot: Mapping[str, Any]) -> AllocatorSettings:
    """What of the allocator's settings a snapshot holds; the defaults where it holds none, or some of another version.

    Args:
        snapshot: What ``torch.cuda.memory._snapshot()`` returned.

    >>> settings_of({"allocator_settings": {"max_split_size": 134217728}}).max_split_size_mb
    128
    """
    known = snapshot.get("allocator_settings", {})
    split = known.get("max_split_size", -1)
    by_size = known.get("roundup_power2_divisions", {})
    try:
        return AllocatorSettings(
            max_split_size_mb=split >> 20 if split > 0 else None,
            roundup_power2_divisions=tuple(by_size[size] for size in sorted(by_size, key=int)) or NONE,
            expandable_segments=bool(known.get("expandable_segments", False)),
        )
    except ConfigError:
        return AllocatorSettings()


@dataclass
class _Found:
    """One allocation while it is being read."""

    bytes: int
    block_bytes: int
    frames: Sequence[Entry]
    told: Told = NOTHING
    outlives: bool | None = False
    """It was still there when the pass that made it had ended; None where the pass never ended."""

    def allocation(self) -> Allocation:
        """As it stands in the trace."""
        return Allocation(self.bytes, self.told.category(outlives=self.outlives), maker=maker_of(self.frames))


@dataclass
class _Reading:
    """Goes through the history once; the blocks at the end say what came before it and was never given back."""

    segments: Sequence[Entry]
    history: Sequence[Entry]
    settings: AllocatorSettings
    earlier: list[_Found] = field(default_factory=list)
    later: list[_Found] = field(default_factory=list)
    sequence: list[tuple[bool, _Found, int]] = field(default_factory=list)  # born or given back; reserved has grown by
    marks: list[tuple[int, str]] = field(default_factory=list)
    alive: dict[int, _Found] = field(default_factory=dict)
    pending: dict[int, _Found] = field(default_factory=dict)
    in_pass: list[_Found] = field(default_factory=list)  # made in the pass that runs, in the backward pass or a step
    phase: str = ""
    grown: int = 0
    stopped_at: int | None = None

    def __post_init__(self) -> None:
        self.held = tuple(pictured_segment(segment) for segment in self.segments)
        events = [_event(entry) for entry in self.history if entry["action"] not in _PASSED_OVER]
        self.layout = laid_out(events, self.held, self.settings)

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
            segments=tuple(self._owned(segment, numbers) for segment in self.held),
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
        length = self.layout.lengths[len(self.later)]
        found = _Found(entry["size"], length, entry.get("frames", ()))
        found.told = told_by(found.frames)
        self._mark(entry)
        self._follow_pass(found)
        self.later.append(found)
        self.alive[entry["addr"]] = found
        self.sequence.append((True, found, self.grown))

    def _follow_pass(self, found: _Found) -> None:
        """A request from outside ends a pass: what that made and is still there was made to be kept."""
        phase = found.told.phase
        if phase is not None and phase != self.phase:
            self._end_pass(outlives=True)
            self.phase = phase
        if phase:
            self.in_pass.append(found)

    def _end_pass(self, *, outlives: bool | None) -> None:
        alive = {id(found) for found in self.alive.values()}
        for found in self.in_pass:
            if id(found) in alive:
                found.outlives = outlives
        self.in_pass.clear()

    def _freed(self, entry: Entry) -> None:
        found = self.alive.pop(entry["addr"], None)
        if found is None:  # it was there before the recording
            found = _Found(entry["size"], self.layout.earlier[entry["addr"]].bytes, ())
            self.earlier.append(found)
        self.pending[entry["addr"]] = found
        self.sequence.append((False, found, self.grown))

    def _mark(self, entry: Entry) -> None:
        """What ``torch.cuda.memory._set_memory_metadata`` said is the name of a phase."""
        phase = entry.get("user_metadata", "")
        if phase and (not self.marks or self.marks[-1][1] != phase):
            self.marks.append((len(self.sequence), phase))

    def _find_what_stayed(self) -> None:
        """The blocks in use at the end, also those that no entry of the history asked for."""
        self._end_pass(outlives=None if self.stopped_at == len(self.sequence) else True)
        for recorded in _located(self.segments):
            if recorded["state"] == "active_allocated" and recorded["address"] not in self.alive:
                frames = recorded.get("frames", ())
                asked = recorded.get("requested_size", recorded["size"])
                found = _Found(asked, recorded["size"], frames, told_by(frames), outlives=True)
                self.earlier.append(found)
                self.alive[recorded["address"]] = found

    def _owned(self, segment: Segment, numbers: Mapping[int, int]) -> Segment:
        return replace(segment, blocks=tuple(self._with_owner(block, numbers) for block in segment.blocks))

    def _with_owner(self, block: Block, numbers: Mapping[int, int]) -> Block:
        held = {"active_allocated": self.alive, "active_pending_free": self.pending, "inactive": {}}[block.state]
        found = held.get(block.address)
        return replace(block, owner=None if found is None else numbers[id(found)])

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
                "Categories are read from the recorded call stacks; what they do not tell is shown as not recorded.",
            ),
            *self._note_of_autograd(),
        )

    def _note_of_autograd(self) -> tuple[str, ...]:
        """Where only Python's stacks were recorded, the backward pass has none."""
        if not any(found.frames for found in self.later) or all(found.frames for found in self.later):
            return ()
        return (
            text(
                "snapshot.python_stacks",
                "Some requests have no call stack, as those of the backward pass where only Python's stacks are "
                "recorded. Record with stacks='all', which is the default, to see what they are for.",
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


def _event(entry: Entry) -> TraceEntry:
    return TraceEntry(entry["action"], entry.get("addr", 0), entry["size"], entry.get("stream", 0))
