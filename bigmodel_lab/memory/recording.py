"""What the allocator of a real card did, kept in a small file: the measure of the simulated one.

A recording begins with an empty allocator, so that everything it holds later is explained by the recording itself.
To make one on a card, before anything is allocated there::

    torch.cuda.memory._record_memory_history(max_entries=1_000_000, context=None, stacks="python")
    ...                                                       # the workload
    snapshot = torch.cuda.memory._snapshot()
    recording = from_device_trace(
        snapshot["device_traces"][0],
        settings=os.environ.get("PYTORCH_ALLOC_CONF", ""),    # or snapshot["allocator_settings"]["PYTORCH_ALLOC_CONF"]
        card=torch.cuda.get_device_name(0),
        total_bytes=torch.cuda.get_device_properties(0).total_memory,
        torch_version=torch.__version__,
        workload="resnet18, batch 32, fp32, AdamW, two steps",
        stats=torch.cuda.memory_stats(0),
    )
    recording.write("tests/recordings/h200_resnet18.json.gz")

The file is JSON, compressed with gzip where its name ends in ``.gz``::

    {"format": 1, "workload": …, "card": …, "total_bytes": …, "torch_version": …, "settings": …, "stats": {…},
     "base_address": …, "actions": "AaaffF…", "addresses": […], "bytes": […], "streams": […]}

``actions`` has one letter an event: a alloc, f a free that completes at once, r free_requested and c free_completed
where they lie apart, A segment_alloc, F segment_free, M segment_map, U segment_unmap, o oom. ``addresses`` has one
number an event, counted from ``base_address``, 0 for o. ``bytes`` has one number for each a, A, F, M, U and o:
what a free gives back is known from its alloc. ``streams`` has one number an event, or is empty where all ran on
stream 0; streams are numbered by their handles, 0 being the default stream. ``stats`` are the counters of the card
at the end, by the names of ``torch.cuda.memory_stats``, as many as there are.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory._device import Action, TraceEntry

FORMAT = 1
"""Number of the format; a file with another one is refused."""
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
_PASSED_OVER = ("snapshot", "user_defined")


@dataclass(frozen=True)
class Recording:
    """Everything that one allocator did, from empty to the end."""

    events: tuple[TraceEntry, ...]
    """In order."""
    settings: str = ""
    """PYTORCH_ALLOC_CONF of that process; empty for the defaults."""
    card: str = ""
    """Name of the card."""
    total_bytes: int | None = None
    """Memory of the card as torch reports it; None = not known."""
    torch_version: str = ""
    """With its CUDA, e.g. ``"2.13.0+cu130"``; of a simulated recording ``"simulated"``."""
    workload: str = ""
    """What ran, in words."""
    stats: Mapping[str, int] = field(default_factory=dict)
    """Counters at the end, by the names of ``torch.cuda.memory_stats``; empty where nobody asked."""

    @property
    def peak_reserved_bytes(self) -> int:
        """Most that was held from the driver at once."""
        reserved = peak = 0
        for event in self.events:
            if event.action in ("segment_alloc", "segment_map"):
                reserved += event.bytes
                peak = max(peak, reserved)
            elif event.action in ("segment_free", "segment_unmap"):
                reserved -= event.bytes
        return peak

    def write(self, path: str | Path) -> Path:
        """Keep it in a file; the same recording gives the same bytes.

        Args:
            path: Ends in ``.json`` or ``.json.gz``.
        """
        path = Path(path)
        written = json.dumps(_columns(self), separators=(",", ":")).encode() + b"\n"
        path.write_bytes(gzip.compress(written, mtime=0) if path.suffix == ".gz" else written)
        return path


def read_recording(path: str | Path) -> Recording:
    """A recording from its file.

    Args:
        path: As :meth:`Recording.write` made it.

    Raises:
        DataError: It is of another format.
    """
    content = Path(path).read_bytes()
    columns = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    if not isinstance(columns, dict) or columns.get("format") != FORMAT:
        raise DataError(
            text(
                "recording.format",
                "{path} is no allocator recording of format {format}. Record it again, or use the version that made it.",
                path=path,
                format=FORMAT,
            )
        )
    known = ("settings", "card", "total_bytes", "torch_version", "workload", "stats")
    return Recording(tuple(_events(columns)), **{name: columns[name] for name in known})


def from_device_trace(
    entries: Iterable[Mapping[str, Any]],
    *,
    settings: str = "",
    card: str = "",
    total_bytes: int | None = None,
    torch_version: str = "",
    workload: str = "",
    stats: Mapping[str, Any] | None = None,
) -> Recording:
    """A recording from one card's entries in ``torch.cuda.memory._snapshot()["device_traces"]``.

    Stack traces, times and snapshots are left out. Streams are numbered in the order of their handles.

    Args:
        entries: As torch gives them; history must have been recorded since the allocator was empty, and with
            room for every entry.
        settings: PYTORCH_ALLOC_CONF of the process.
        card: Name of the card.
        total_bytes: Its memory as torch reports it.
        torch_version: ``torch.__version__``.
        workload: What ran, in words.
        stats: ``torch.cuda.memory_stats()`` at the end.

    Raises:
        DataError: Something is freed that was never allocated, so the beginning is missing; or memory of the
            private pool of a CUDA graph, which a recording does not hold.
    """
    kept = [entry for entry in entries if entry["action"] not in _PASSED_OVER]
    streams = {handle: number for number, handle in enumerate(sorted({0, *(entry["stream"] for entry in kept)}))}
    events = [
        TraceEntry(entry["action"], entry.get("addr", 0), entry["size"], streams[entry["stream"]]) for entry in kept
    ]
    if any(tuple(entry.get("pool_id", (0, 0))) != (0, 0) for entry in kept):
        raise DataError(
            text(
                "recording.private_pool",
                "The trace has memory of private pools (CUDA graphs), which a recording does not hold. "
                "Record without graphs.",
            )
        )
    _check_beginning(events)
    counters = {name: int(value) for name, value in (stats or {}).items()}
    return Recording(tuple(events), settings, card, total_bytes, torch_version, workload, counters)


def _check_beginning(events: Iterable[TraceEntry]) -> None:
    """Every free has its alloc, every segment that goes has come."""
    live: set[int] = set()
    segments: set[int] = set()
    for event in events:
        if event.action == "alloc":
            live.add(event.address)
        elif event.action == "segment_alloc":
            segments.add(event.address)
        elif event.action in ("free_requested", "segment_free"):
            known = live if event.action == "free_requested" else segments
            if event.address not in known:
                raise DataError(
                    text(
                        "recording.beginning",
                        "{bytes} bytes at {address:#x} are given back that were never taken: the beginning is missing. "
                        "Start recording before the first allocation, with max_entries above the number of entries.",
                        bytes=event.bytes,
                        address=event.address,
                    )
                )
            known.remove(event.address)


def _columns(recording: Recording) -> dict[str, Any]:
    folded = list(_folded(recording.events))
    base = min((event.address for _, event in folded if event.action != "oom"), default=0)
    return {
        "format": FORMAT,
        "workload": recording.workload,
        "card": recording.card,
        "total_bytes": recording.total_bytes,
        "torch_version": recording.torch_version,
        "settings": recording.settings,
        "stats": dict(recording.stats),
        "base_address": base,
        "actions": "".join(letter for letter, _ in folded),
        "addresses": [0 if event.action == "oom" else event.address - base for _, event in folded],
        "bytes": [event.bytes for letter, event in folded if letter in _WITH_BYTES],
        "streams": [event.stream for _, event in folded] if any(event.stream for _, event in folded) else [],
    }


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


def _events(columns: Mapping[str, Any]) -> Iterator[TraceEntry]:
    """The events that :func:`_columns` wrote."""
    base, actions = columns["base_address"], columns["actions"]
    sizes = iter(columns["bytes"])
    asked: dict[int, int] = {}
    streams = columns["streams"] or [0] * len(actions)
    for letter, offset, stream in zip(actions, columns["addresses"], streams, strict=True):
        address = 0 if letter == "o" else base + offset
        size = next(sizes) if letter in _WITH_BYTES else asked[address]
        if letter == "a":
            asked[address] = size
        if letter == _FREED_AT_ONCE:
            yield TraceEntry("free_requested", address, size, stream)
            yield TraceEntry("free_completed", address, size, stream)
        else:
            yield TraceEntry(_ACTIONS[letter], address, size, stream)
