"""The file that holds what a card's allocator did."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from bigmodel_lab.errors import DataError
from bigmodel_lab.memory.allocator import TraceEntry
from bigmodel_lab.memory.recording import Recording, from_device_trace, read_recording
from tests.memory.recorded import simulated

MIB = 1 << 20
BASE = 0x7F12_0000_0000
TRACE = [
    {"action": "segment_alloc", "addr": BASE, "size": 2 * MIB, "stream": 0, "time_us": 1, "pool_id": (0, 0)},
    {"action": "alloc", "addr": BASE, "size": 1000, "stream": 0, "frames": [{"name": "main"}]},
    {"action": "snapshot", "addr": 0, "size": 512, "stream": 0},
    {"action": "alloc", "addr": BASE + 1024, "size": 8, "stream": 0},
    {"action": "free_requested", "addr": BASE, "size": 1000, "stream": 0},
    {"action": "free_completed", "addr": BASE, "size": 1000, "stream": 0},
    {"action": "segment_alloc", "addr": BASE + (64 << 20), "size": 20 * MIB, "stream": 94_000_000_000_000},
    {"action": "alloc", "addr": BASE + (64 << 20), "size": 4 * MIB, "stream": 94_000_000_000_000},
    {"action": "oom", "device_free": 77, "size": 1 << 40, "stream": 0},
]
"""As torch.cuda.memory._snapshot() gives it."""


@pytest.fixture
def recording() -> Recording:
    """From a real card's form."""
    return from_device_trace(
        TRACE,
        settings="max_split_size_mb:64",
        card="NVIDIA H200",
        total_bytes=150 << 30,
        torch_version="2.13.0+cu130",
        workload="two tensors",
        stats={"allocation.all.peak": 2},
    )


def test_a_snapshot_becomes_events(recording):
    """Without stack traces, times and snapshots; streams are numbered, the default one is 0."""
    assert recording.events[:2] == (
        TraceEntry("segment_alloc", BASE, 2 * MIB, 0),
        TraceEntry("alloc", BASE, 1000, 0),
    )
    assert [event.stream for event in recording.events[-3:]] == [1, 1, 0]
    assert recording.events[-1] == TraceEntry("oom", 0, 1 << 40, 0)
    assert len(recording.events) == len(TRACE) - 1


def test_the_peak_of_reserved_memory_is_summed_from_the_events(recording):
    """Segments that came, less those that went."""
    assert recording.peak_reserved_bytes == 22 * MIB


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_what_is_written_is_read(tmp_path, recording, name):
    """Every event and every word about the card, compressed or not."""
    assert read_recording(recording.write(tmp_path / name)) == recording


@pytest.mark.parametrize("settings", ["", "expandable_segments:True"])
def test_a_long_recording_is_read_as_it_was(tmp_path, settings):
    """Frees that completed later, other streams, pages, failures; a failure's address is not kept."""
    made = simulated(settings)
    events = tuple(e._replace(address=0) if e.action == "oom" else e for e in made.events)

    assert {"free_completed", "oom"} <= {event.action for event in events}
    assert read_recording(made.write(tmp_path / "trace.json.gz")).events == events


def test_the_same_recording_makes_the_same_file(tmp_path, recording):
    """No time of writing in it."""
    first, second = (recording.write(tmp_path / f"{n}.json.gz").read_bytes() for n in (1, 2))

    assert first == second


def test_a_file_is_small(tmp_path):
    """A few bytes an event."""
    made = simulated(requests=3000)

    assert made.write(tmp_path / "trace.json.gz").stat().st_size < 8 * len(made.events)


def test_the_columns_are_as_described(tmp_path, recording):
    """A letter an event, bytes only where they are not known from before."""
    columns = json.loads(recording.write(tmp_path / "trace.json").read_text())

    assert columns["actions"] == "AaafAao"
    assert columns["bytes"] == [2 * MIB, 1000, 8, 20 * MIB, 4 * MIB, 1 << 40]
    assert (columns["base_address"], columns["addresses"]) == (BASE, [0, 0, 1024, 0, 64 << 20, 64 << 20, 0])


def test_streams_are_left_out_where_there_is_one(tmp_path):
    """The usual case takes no room."""
    columns = json.loads(from_device_trace(TRACE[:2]).write(tmp_path / "trace.json").read_text())

    assert columns["streams"] == []


# without the time of day, as the names of the tests are the same in every process
@pytest.mark.parametrize("content", [b'{"format": 3}', b"[]", gzip.compress(b'{"actions": ""}', mtime=0)])
def test_another_format_is_refused(tmp_path, content):
    """What is no recording of this format is said to be none."""
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no allocator recording of format 2"):
        read_recording(path)


BLOCKS = [
    {"address": BASE, "size": 1024, "requested_size": 0, "state": "inactive"},
    {"address": BASE + 1024, "size": 512, "requested_size": 8, "state": "active_allocated"},
    {"address": BASE + 1536, "size": 2 * MIB - 1536, "requested_size": 0, "state": "inactive"},
]
SEGMENT = {"address": BASE, "total_size": 2 * MIB, "stream": 0, "segment_type": "small", "device": 0, "blocks": BLOCKS}


def test_the_beginning_follows_from_the_end():
    """Without the first entries, the segments tell what was there."""
    (segment,) = from_device_trace(TRACE[4:6], segments=[SEGMENT]).beginning

    assert [(b.bytes, b.requested_bytes, b.state[:8]) for b in segment.blocks] == [
        (1024, 1000, "active_a"),
        (512, 8, "active_a"),
        (2 * MIB - 1536, 0, "inactive"),
    ]


def test_the_peak_counts_what_was_there_before():
    """A recording from the middle."""
    assert from_device_trace(TRACE[4:6], segments=[SEGMENT]).peak_reserved_bytes == 2 * MIB


def test_segments_of_other_cards_are_left_out():
    """A snapshot has those of all."""
    made = from_device_trace(TRACE[:6], segments=[{**SEGMENT, "device": 1}, SEGMENT], device=1)

    assert len(made.end) == 1


def test_fractions_are_counted_in_the_entries_that_are_kept():
    """A snapshot among them is none of the allocator's."""
    assert from_device_trace(TRACE[:6], fractions=[(0, 0.5), (4, 0.75)]).fractions == ((0, 0.5), (3, 0.75))


@pytest.mark.parametrize("end", [None, ()])
def test_what_a_recording_from_the_middle_holds_is_read_as_it_was(tmp_path, end):
    """Frees of blocks from before, the last picture, fractions, source and licence; nobody looked, or nothing was left."""
    made = from_device_trace(TRACE[4:6], segments=[SEGMENT], fractions=[(1, 0.25)])
    made = replace(made, source="someone/something@1:a.pickle", license="MIT")

    assert read_recording(made.write(tmp_path / "trace.json")) == made
    assert read_recording(replace(made, end=end).write(tmp_path / "trace.json")).end == end


def test_files_of_the_first_format_are_read(tmp_path, recording):
    """They had neither a last picture nor fractions."""
    path = recording.write(tmp_path / "trace.json")
    columns = {**json.loads(path.read_text()), "format": 1}
    for name in ("end", "fractions", "source", "license"):
        del columns[name]
    path.write_text(json.dumps(columns))

    assert read_recording(path) == recording


@pytest.mark.parametrize("missing", [0, 1])
def test_a_trace_without_its_beginning_is_refused(missing):
    """A free without its alloc means that entries were lost."""
    rest = [*TRACE[:6], {"action": "segment_free", "addr": BASE, "size": 2 * MIB, "stream": 0}]
    del rest[missing]
    with pytest.raises(DataError, match="the beginning is missing"):
        from_device_trace(rest)


def test_private_pools_are_refused():
    """Which requests ran under capture is not in the trace."""
    with pytest.raises(DataError, match="private pools"):
        from_device_trace([{**TRACE[0], "pool_id": (0, 1)}])
