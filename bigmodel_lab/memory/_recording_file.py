"""How a recording is written: JSON, compressed with gzip where the file's name ends in ``.gz``.

::

    {"format": 2, "workload": …, "card": …, "total_bytes": …, "torch_version": …, "settings": …, "stats": {…},
     "source": …, "license": …, "fractions": [[…, …], …], "base_address": …, "actions": "AaaffF…", "addresses": […],
     "bytes": […], "streams": […], "end": [[…, …, …, …, …, "apf…", […], […]], …]}

``actions`` has one letter an event: a alloc, f a free that completes at once, r free_requested and c free_completed
where they lie apart, A segment_alloc, F segment_free, M segment_map, U segment_unmap, o oom. ``addresses`` has one
number an event, counted from ``base_address``, 0 for o. ``bytes`` has one number for each a, A, F, M, U and o, and for
the first of r, f and c of a block that was there before the first event; what another free gives back is known from
its alloc. ``streams`` has one number an event, or is empty where all ran on stream 0; streams are numbered by their
handles, 0 being the default stream. ``stats`` are the counters of the card at the end, by the names of
``torch.cuda.memory_stats``, as many as there are. ``fractions`` are numbers of events (a free that completes at once
counts as two) and the share of the card that was set before each. ``end`` is what was held after the last event, one
entry a segment: address, counted from ``base_address``, bytes, pool, stream, 1 where it can grow, one letter a block
(a in use, p waits for other streams, f free), the bytes of each block, and what was asked for, one number for each
block that is not free; null where nobody looked. Format 1 had neither ``end`` nor ``fractions``, ``source`` and ``license``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory._device import Action, TraceEntry
from bigmodel_lab.memory.segments import Block, Segment

FORMAT = 2
"""Number of the format that is written."""
_READABLE = (1, 2)
_LETTERS: dict[Action, str] = {
    "alloc": "a",
    "free_requested": "r",
    "free_completed": "c",
    "segment_alloc": "A",
    "segment_free": "F",
    "segment_map": "M",
    "segment_unmap": "U",
    "oom": "o",
}
_ACTIONS = {letter: action for action, letter in _LETTERS.items()}
_FREED_AT_ONCE = "f"
_WITH_BYTES = "aAFMUo"
_STATES: dict[str, Literal["active_allocated", "active_pending_free", "inactive"]] = {
    "a": "active_allocated",
    "p": "active_pending_free",
    "f": "inactive",
}
_STATE_LETTERS = {state: letter for letter, state in _STATES.items()}


class Written(Protocol):
    """What of a recording goes into its file."""

    @property
    def events(self) -> tuple[TraceEntry, ...]:
        """In order."""

    @property
    def settings(self) -> str:
        """PYTORCH_ALLOC_CONF."""

    @property
    def card(self) -> str:
        """Name."""

    @property
    def total_bytes(self) -> int | None:
        """Of the card; None = not known."""

    @property
    def torch_version(self) -> str:
        """With its CUDA."""

    @property
    def workload(self) -> str:
        """What ran."""

    @property
    def stats(self) -> Mapping[str, int]:
        """Counters at the end."""

    @property
    def end(self) -> tuple[Segment, ...] | None:
        """What was held after the last event; None where nobody looked."""

    @property
    def fractions(self) -> tuple[tuple[int, float], ...]:
        """Number of the event before which a share was set, and the share."""

    @property
    def source(self) -> str:
        """Where it was published."""

    @property
    def license(self) -> str:
        """Under which."""


def write_columns(columns: Mapping[str, Any], path: Path) -> Path:
    """Write a file; the same columns give the same bytes."""
    written = json.dumps(columns, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(gzip.compress(written, mtime=0) if path.suffix == ".gz" else written)
    return path


def read_columns(path: Path) -> dict[str, Any]:
    """The columns of a file.

    Raises:
        DataError: It is of another format.
    """
    content = path.read_bytes()
    columns = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    if not isinstance(columns, dict) or columns.get("format") not in _READABLE:
        raise DataError(
            text(
                "recording.format",
                "{path} is no allocator recording of format {format} or older. Record it again, or use the version that "
                "made it.",
                path=path,
                format=FORMAT,
            )
        )
    return columns


def columns_of(recording: Written) -> dict[str, Any]:
    """Everything that is written of a recording."""
    folded = list(_folded(recording.events))
    placed = [event.address for _, event in folded if event.action != "oom"]
    base = min((*placed, *(segment.address for segment in recording.end or ())), default=0)
    return {
        "format": FORMAT,
        "workload": recording.workload,
        "card": recording.card,
        "total_bytes": recording.total_bytes,
        "torch_version": recording.torch_version,
        "settings": recording.settings,
        "source": recording.source,
        "license": recording.license,
        "stats": dict(recording.stats),
        "fractions": [list(set_) for set_ in recording.fractions],
        "base_address": base,
        "actions": "".join(letter for letter, _ in folded),
        "addresses": [0 if event.action == "oom" else event.address - base for _, event in folded],
        "bytes": list(_bytes(folded)),
        "streams": [event.stream for _, event in folded] if any(event.stream for _, event in folded) else [],
        "end": None if recording.end is None else [_written_segment(segment, base) for segment in recording.end],
    }


def events_of(columns: Mapping[str, Any]) -> tuple[TraceEntry, ...]:
    """The events that :func:`columns_of` wrote."""
    return tuple(_events(columns))


def end_of(columns: Mapping[str, Any]) -> tuple[Segment, ...] | None:
    """The segments that :func:`columns_of` wrote; None where nobody looked."""
    written = columns.get("end")
    return None if written is None else tuple(_read_segment(segment, columns["base_address"]) for segment in written)


def _folded(events: Iterable[TraceEntry]) -> Iterator[tuple[str, TraceEntry]]:
    """Letters and events, a free that completes at once being one."""
    waiting: TraceEntry | None = None
    for event in events:
        if waiting is not None:
            at_once = event.action == "free_completed" and event.address == waiting.address
            yield _FREED_AT_ONCE if at_once else "r", waiting
            waiting = None
            if at_once:
                continue
        if event.action == "free_requested":
            waiting = event
        else:
            yield _LETTERS[event.action], event
    if waiting is not None:
        yield "r", waiting


def _bytes(folded: Iterable[tuple[str, TraceEntry]]) -> Iterator[int]:
    """Sizes that the reader cannot know from before."""
    known: set[int] = set()
    for letter, event in folded:
        if letter in _WITH_BYTES or event.address not in known:
            yield event.bytes
        if letter not in "AFMUo":
            known.add(event.address)


def _events(columns: Mapping[str, Any]) -> Iterator[TraceEntry]:
    base, actions = columns["base_address"], columns["actions"]
    sizes = iter(columns["bytes"])
    asked: dict[int, int] = {}
    streams = columns["streams"] or [0] * len(actions)
    for letter, offset, stream in zip(actions, columns["addresses"], streams, strict=True):
        address = 0 if letter == "o" else base + offset
        size = next(sizes) if letter in _WITH_BYTES or address not in asked else asked[address]
        if letter not in "AFMUo":
            asked[address] = size
        if letter == _FREED_AT_ONCE:
            yield TraceEntry("free_requested", address, size, stream)
            yield TraceEntry("free_completed", address, size, stream)
        else:
            yield TraceEntry(_ACTIONS[letter], address, size, stream)


def _written_segment(segment: Segment, base: int) -> list[Any]:
    return [
        segment.address - base,
        segment.bytes,
        segment.pool,
        segment.stream,
        int(segment.is_expandable),
        "".join(_STATE_LETTERS[block.state] for block in segment.blocks),
        [block.bytes for block in segment.blocks],
        [block.requested_bytes for block in segment.blocks if block.state != "inactive"],
    ]


def _read_segment(written: list[Any], base: int) -> Segment:
    offset, size, pool, stream, expandable, letters, lengths, asked = written
    requested = iter(asked)
    blocks: list[Block] = []
    address = base + offset
    for letter, length in zip(letters, lengths, strict=True):
        state = _STATES[letter]
        blocks.append(Block(address, length, 0 if state == "inactive" else next(requested), state))
        address += length
    return Segment(base + offset, size, pool, stream, tuple(blocks), bool(expandable))
