"""What the allocator of a real card did, kept in a small file: the measure of the simulated one.

A recording holds events, and what was held after the last one. It may begin in the middle of a program: what was held
before the first event follows from both. To make one on a card::

    torch.cuda.memory._record_memory_history(max_entries=1_000_000, context=None, stacks="python")
    ...                                                       # the workload
    snapshot = torch.cuda.memory._snapshot()
    recording = from_device_trace(
        snapshot["device_traces"][0],
        segments=snapshot["segments"],
        settings=os.environ.get("PYTORCH_ALLOC_CONF", ""),    # or snapshot["allocator_settings"]["PYTORCH_ALLOC_CONF"]
        card=torch.cuda.get_device_name(0),
        total_bytes=torch.cuda.get_device_properties(0).total_memory,
        torch_version=torch.__version__,
        workload="resnet18, batch 32, fp32, AdamW, two steps",
        stats=torch.cuda.memory_stats(0),
    )
    recording.write("tests/recordings/h200_resnet18.json.gz")

The format of the file stands in ``_recording_file.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory._device import TraceEntry
from bigmodel_lab.memory._layout import laid_out
from bigmodel_lab.memory._picture import pictured_segment
from bigmodel_lab.memory._recording_file import columns_of, end_of, events_of, read_columns, write_columns
from bigmodel_lab.memory.segments import Segment
from bigmodel_lab.memory.settings import AllocatorSettings

_PASSED_OVER = ("snapshot", "user_defined")


@dataclass(frozen=True)
class Recording:
    """Everything that one allocator did while it was recorded."""

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
    end: tuple[Segment, ...] | None = None
    """What was held after the last event, without owners; None where nobody looked."""
    fractions: tuple[tuple[int, float], ...] = ()
    """Shares of the card that ``set_per_process_memory_fraction`` set: before which event, and the share. What was set
    before the recording stands before event 0."""
    source: str = ""
    """Where somebody else published it, e.g. ``"owner/repository@commit:path"``; empty for one of our own."""
    license: str = ""
    """Under which it was published, e.g. ``"MIT"``."""

    @cached_property
    def beginning(self) -> tuple[Segment, ...]:
        """What was held before the first event, as far as :attr:`end` tells; empty where that is nothing."""
        if self.end is None:
            return ()
        return laid_out(self.events, self.end, AllocatorSettings.parse(self.settings)).beginning

    @property
    def peak_reserved_bytes(self) -> int:
        """Most that was held from the driver at once."""
        reserved = peak = sum(segment.bytes for segment in self.beginning)
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
        return write_columns(columns_of(self), Path(path))


def read_recording(path: str | Path) -> Recording:
    """A recording from its file.

    Args:
        path: As :meth:`Recording.write` made it.

    Raises:
        DataError: It is of another format.
    """
    columns = read_columns(Path(path))
    known = ("settings", "card", "total_bytes", "torch_version", "workload", "stats", "source", "license")
    return Recording(
        events_of(columns),
        **{name: columns[name] for name in known if name in columns},
        end=end_of(columns),
        fractions=tuple((position, share) for position, share in columns.get("fractions", ())),
    )


def from_device_trace(
    entries: Iterable[Mapping[str, Any]],
    *,
    segments: Iterable[Mapping[str, Any]] | None = None,
    device: int = 0,
    settings: str = "",
    card: str = "",
    total_bytes: int | None = None,
    torch_version: str = "",
    workload: str = "",
    stats: Mapping[str, Any] | None = None,
    fractions: Iterable[tuple[int, float]] = (),
) -> Recording:
    """A recording from one card's entries in ``torch.cuda.memory._snapshot()["device_traces"]``.

    Stack traces, times and snapshots are left out. Streams are numbered in the order of their handles.

    Args:
        entries: As torch gives them, with room for every entry. Without ``segments``, history must have been recorded
            since the allocator was empty.
        segments: ``torch.cuda.memory._snapshot()["segments"]``, of all cards; None = nobody looked.
        device: Index of the card, among the segments.
        settings: PYTORCH_ALLOC_CONF of the process.
        card: Name of the card.
        total_bytes: Its memory as torch reports it.
        torch_version: ``torch.__version__``.
        workload: What ran, in words.
        stats: ``torch.cuda.memory_stats()`` at the end.
        fractions: As :attr:`Recording.fractions`, counted in these entries.

    Raises:
        DataError: Something is freed that was never allocated and no segments are given, so the beginning is missing;
            or memory of the private pool of a CUDA graph, which a recording does not hold.
    """
    every = list(entries)
    kept = [entry for entry in every if entry["action"] not in _PASSED_OVER]
    here = [segment for segment in segments or () if segment.get("device", 0) == device]
    handles = {0, *(entry["stream"] for entry in (*kept, *here))}
    streams = {handle: number for number, handle in enumerate(sorted(handles))}
    events = [
        TraceEntry(entry["action"], entry.get("addr", 0), entry["size"], streams[entry["stream"]]) for entry in kept
    ]
    pools = [entry.get("pool_id", (0, 0)) for entry in kept]
    pools += [segment.get("segment_pool_id", (0, 0)) for segment in here]
    if any(tuple(pool) != (0, 0) for pool in pools):
        raise DataError(
            text(
                "recording.private_pool",
                "The trace has memory of private pools (CUDA graphs), which a recording does not hold. "
                "Record without graphs.",
            )
        )
    if segments is None:
        _check_beginning(events)
    return Recording(
        tuple(events),
        settings,
        card,
        total_bytes,
        torch_version,
        workload,
        stats={name: int(value) for name, value in (stats or {}).items()},
        end=None if segments is None else tuple(_segment(segment, streams) for segment in here),
        fractions=tuple((_kept_before(every, position), share) for position, share in fractions),
    )


def _kept_before(entries: Sequence[Mapping[str, Any]], position: int) -> int:
    return sum(entry["action"] not in _PASSED_OVER for entry in entries[:position])


def _segment(segment: Mapping[str, Any], streams: Mapping[int, int]) -> Segment:
    """A segment of a snapshot; the stream by its number."""
    return replace(pictured_segment(segment), stream=streams[segment["stream"]])


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
                        "Give the snapshot's segments too, or start recording before the first allocation, with "
                        "max_entries above the number of entries.",
                        bytes=event.bytes,
                        address=event.address,
                    )
                )
            known.remove(event.address)
