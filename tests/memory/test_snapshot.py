"""Snapshots of real cards in the terms of traces and pictures."""

from __future__ import annotations

import os
import pickle

import pytest

from bigmodel_lab.errors import DataError
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.categories import UNKNOWN
from bigmodel_lab.memory.replay import live_at, replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.memory.snapshot import read_snapshot, settings_of
from bigmodel_lab.memory.timeline import timeline
from tests.memory.snapshots import frames_of, snapshot_of
from tests.memory.traces import MIB, training_trace

SIMPLE = RequestTrace(
    (Allocation(3 * MIB, "parameter"), Allocation(1000, "input"), Allocation(5 * MIB, "activation")), (0, 1, 2, ~1)
)


@pytest.fixture(scope="module")
def step():
    """Two training steps."""
    return training_trace(layers=2)


def test_a_whole_recording_gives_the_requests_back(step):
    """Recorded from the first request on, the sequence and the sizes are those of the trace."""
    seen = read_snapshot(snapshot_of(step))

    assert seen.trace.sequence == step.sequence
    assert [a.bytes for a in seen.trace.allocations] == [a.bytes for a in step.allocations]


def test_reserved_is_that_of_the_allocator(step):
    """Bytes held from the driver follow the recorded segments, entry by entry."""
    assert read_snapshot(snapshot_of(step)).reserved == replay(step).reserved


def test_allocated_is_that_of_the_allocator(step):
    """In blocks, entry by entry."""
    assert read_snapshot(snapshot_of(step)).allocated == replay(step).allocated


def test_what_is_still_there_has_the_length_of_its_block():
    """What was not split off counts with the block: 512 KiB are left of a segment of 20 MiB, and stay with it."""
    trace = RequestTrace((Allocation(20 * MIB - 512 * 1024, "parameter"),), (0,))
    seen = read_snapshot(snapshot_of(trace))

    assert seen.allocated == replay(trace).allocated
    assert seen.trace.allocations[0].bytes == 20 * MIB - 512 * 1024


def test_what_was_there_before_stands_at_the_beginning(step):
    """A recording that began late begins with everything that was there: the end is the same."""
    seen = read_snapshot(snapshot_of(step, recorded_from=30))
    whole = read_snapshot(snapshot_of(step))

    assert seen.allocated[-1] == whole.allocated[-1]
    assert seen.reserved[-1] == whole.reserved[-1]
    assert len(live_at(seen.trace, len(seen.trace.sequence) - 1)) == len(live_at(step, len(step.sequence) - 1))


def test_memory_from_before_that_is_freed_later_was_there(step):
    """The peak after the beginning of the recording is the same as in the whole recording."""
    late = read_snapshot(snapshot_of(step, recorded_from=30))

    assert late.peak_allocated_bytes == read_snapshot(snapshot_of(step)).peak_allocated_bytes


def test_without_a_history_the_blocks_remain():
    """A snapshot without a recording shows what is there, and says why there is no more."""
    taken = snapshot_of(SIMPLE)
    taken["device_traces"] = [[]]
    seen = read_snapshot(taken)

    assert sorted(a.bytes for a in seen.trace.allocations) == [3 * MIB, 5 * MIB]
    assert "_record_memory_history" in seen.trace.notes[0]


def test_blocks_know_their_owners():
    """Each block in use leads to the allocation that it serves; free ones to none."""
    seen = read_snapshot(snapshot_of(SIMPLE))
    blocks = [block for segment in seen.segments for block in segment.blocks]
    used = [block for block in blocks if block.state == "active_allocated"]

    assert [seen.trace.allocations[block.owner].bytes for block in used] == [block.requested_bytes for block in used]
    assert all(block.owner is None for block in blocks if block.state == "inactive")


def test_segments_are_those_of_the_card():
    """Addresses, lengths, pools and blocks are kept as they were."""
    taken = CachingAllocator(recording=True)
    seen = read_snapshot(snapshot_of(SIMPLE, allocator=taken))

    assert [(s.address, s.bytes, s.pool, s.stream) for s in seen.segments] == [
        (s.address, s.bytes, s.pool, s.stream) for s in taken.segments()
    ]
    assert [len(s.blocks) for s in seen.segments] == [len(s.blocks) for s in taken.segments()]


def test_a_block_that_waits_for_a_stream_keeps_its_owner():
    """Given back and not completed: no longer allocated, but the block still tells whose it was."""
    taken = snapshot_of(SIMPLE, until=3)
    block = next(b for s in taken["segments"] for b in s["blocks"] if b["requested_size"] == 1000)
    taken["device_traces"][0].append({"action": "free_requested", "addr": block["address"], "size": 1000, "stream": 0})
    block["state"] = "active_awaiting_free"
    seen = read_snapshot(taken)

    (waiting,) = [b for s in seen.segments for b in s.blocks if b.state == "active_pending_free"]
    assert seen.trace.allocations[waiting.owner].bytes == 1000
    assert seen.allocated[-1] == 3 * MIB + 5 * MIB


def test_addresses_are_found_where_blocks_have_none():
    """Snapshots before PyTorch 2.1 give lengths only; blocks lie without gaps."""
    taken = snapshot_of(SIMPLE)
    whole = read_snapshot(taken)
    for segment in taken["segments"]:
        for block in segment["blocks"]:
            del block["address"]

    assert read_snapshot(taken).segments == whole.segments


def test_the_fullest_card_is_taken():
    """Without a number the card that holds most is read."""
    little, much = snapshot_of(RequestTrace((Allocation(8, "input"),), (0,))), snapshot_of(SIMPLE, device=1)
    both = {
        "segments": little["segments"] + much["segments"],
        "device_traces": [little["device_traces"][0], much["device_traces"][1]],
    }

    assert read_snapshot(both).device == 1
    assert [a.bytes for a in read_snapshot(both, device=0).trace.allocations] == [8]


def test_an_out_of_memory_is_marked():
    """The place of the failed request is known, also after what was there before."""
    taken = snapshot_of(SIMPLE, recorded_from=2, until=3)
    taken["device_traces"][0].append({"action": "oom", "size": 2**40, "device_free": 0, "stream": 0})

    assert read_snapshot(taken).stopped_at == 3


def test_metadata_are_phases():
    """What _set_memory_metadata said names the phases; its position counts what was there before."""
    taken = snapshot_of(SIMPLE, recorded_from=1, until=3)
    named = [entry for entry in taken["device_traces"][0] if entry["action"] == "alloc"]
    named[0]["user_metadata"], named[1]["user_metadata"] = "forward", "backward"

    assert [(m.position, m.phase) for m in read_snapshot(taken).trace.marks] == [(1, "forward"), (2, "backward")]


@pytest.mark.parametrize(
    ("frames", "category"),
    [
        (frames_of("/v/torch/optim/adamw.py:step"), "optimizer_state"),
        (frames_of("/v/torch/autograd/__init__.py:backward"), "gradient"),
        (frames_of("/v/torch/nn/modules/module.py:_apply", "/v/torch/nn/modules/module.py:to"), "parameter"),
        (frames_of("/v/torch/nn/functional.py:linear", "/v/torch/nn/modules/module.py:_call_impl"), "activation"),
        (frames_of("C:\\v\\torch\\optim\\sgd.py:step"), "optimizer_state"),
        ([], UNKNOWN),
    ],
)
def test_categories_are_read_from_the_call_stack(frames, category):
    """What stays and was asked for below a part of PyTorch belongs to that part; without a stack nobody knows."""
    assert read_snapshot(snapshot_of(SIMPLE, frames=frames)).trace.allocations[0].category == category


def with_stacks(trace, *stacks, extra=()):
    """A snapshot of which each allocation has its own call stack."""
    taken = snapshot_of(trace)
    asked = [entry for entry in taken["device_traces"][0] if entry["action"] == "alloc"]
    for entry, stack in zip(asked, stacks, strict=True):
        entry["frames"] = stack
    taken["device_traces"][0] += extra
    return read_snapshot(taken)


STEP = frames_of("/v/torch/optim/adamw.py:step")
BACKWARD = frames_of("/v/torch/autograd/graph.py:_engine_run_backward")
FORWARD = frames_of("/v/torch/nn/modules/module.py:_call_impl")
THREE = tuple(Allocation(size * MIB, "temporary") for size in (3, 5, 7))


def test_what_outlives_its_pass_was_made_to_be_kept():
    """A gradient that is given back after the pass is a gradient; what goes within the pass is temporary."""
    seen = with_stacks(RequestTrace(THREE, (0, 1, ~0, 2, ~1)), BACKWARD, BACKWARD, STEP)

    assert [a.category for a in seen.trace.allocations] == ["temporary", "gradient", "optimizer_state"]


def test_a_request_without_a_stack_does_not_end_a_pass():
    """It may come from a thread of the pass itself."""
    seen = with_stacks(RequestTrace(THREE, (0, 1, ~0, 2)), STEP, [], FORWARD)

    assert [a.category for a in seen.trace.allocations] == ["temporary", UNKNOWN, "activation"]


@pytest.mark.parametrize(("stack", "kept"), [(BACKWARD, UNKNOWN), (STEP, UNKNOWN), (FORWARD, "activation")])
def test_out_of_memory_in_the_middle_of_a_pass_leaves_open_what_would_be_kept(stack, kept):
    """Gradients and what the pass needs for a moment are both still there."""
    oom = {"action": "oom", "size": 2**40, "device_free": 0, "stream": 0}
    seen = with_stacks(RequestTrace(THREE[:2], (0, 1)), FORWARD, stack, extra=[oom])

    assert seen.trace.allocations[1].category == kept


def test_it_is_said_where_only_python_s_stacks_were_recorded():
    """Then nobody knows what autograd's threads asked for."""
    notes = with_stacks(RequestTrace(THREE[:2], (0, 1)), FORWARD, []).trace.notes

    assert any("stacks='all'" in note for note in notes)
    assert not any("stacks='all'" in note for note in read_snapshot(snapshot_of(SIMPLE, frames=FORWARD)).trace.notes)


@pytest.mark.parametrize(
    ("known", "settings"),
    [
        ({}, ""),
        ({"max_split_size": -1, "roundup_power2_divisions": {str(1 << n): 0 for n in range(16)}}, ""),
        ({"max_split_size": 64 * MIB, "expandable_segments": True}, "max_split_size_mb:64,expandable_segments:True"),
        ({"roundup_power2_divisions": {str(1 << n): 4 for n in range(16)}}, "roundup_power2_divisions:4"),
        ({"roundup_power2_divisions": {"1": 4}}, ""),
    ],
)
def test_settings_of_the_allocator_are_read(known, settings):
    """As far as a snapshot holds them; the length of a block depends on them."""
    assert settings_of({"allocator_settings": known}) == AllocatorSettings.parse(settings)


def test_blocks_that_were_given_back_have_their_true_length():
    """What was too little to be cut off counts with the block also after it is gone."""
    trace = RequestTrace((Allocation(20 * MIB - 512 * 1024, "activation"),), (0, ~0))

    assert read_snapshot(snapshot_of(trace)).peak_allocated_bytes == 20 * MIB


def test_the_maker_is_the_person_s_own_line():
    """Hovering leads to the line of the script, not into PyTorch."""
    seen = read_snapshot(snapshot_of(SIMPLE, frames=frames_of("/v/torch/nn/functional.py:linear")))

    assert seen.trace.allocations[0].maker == "main (train.py:12)"


def test_a_snapshot_is_drawn_as_a_replay_is(step):
    """The timeline of a recording adds up like that of a simulation."""
    seen = read_snapshot(snapshot_of(step, recorded_from=20), card="Tesla T4")
    drawn = timeline(seen.trace, seen)

    assert [sum(at_once) for at_once in zip(*drawn.by_category.values(), strict=True)] == list(seen.allocated)
    assert drawn.peak_position == seen.peak_position


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_file_is_read_like_the_snapshot_itself(tmp_path, protocol):
    """What _dump_snapshot writes gives the same, whatever the protocol of pickle."""
    taken = snapshot_of(SIMPLE)
    (tmp_path / "s.pickle").write_bytes(pickle.dumps(taken, protocol=protocol))

    assert read_snapshot(tmp_path / "s.pickle") == read_snapshot(str(tmp_path / "s.pickle")) == read_snapshot(taken)


class Program:
    """Runs something when it is unpickled, as any class could."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_names_something_is_refused(tmp_path, monkeypatch, protocol):
    """A file that would run a program is refused before it can, and the message says what it asks for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pickle").write_bytes(pickle.dumps({"segments": Program()}, protocol=protocol))

    with pytest.raises(DataError, match=r"asks for \w+\.mkdir"):
        read_snapshot("bad.pickle")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"segments": []})[:-4]])
def test_a_broken_file_is_refused(tmp_path, content):
    """Bytes that are no pickle end in a message, not in a traceback of pickle."""
    (tmp_path / "broken.pickle").write_bytes(content)

    with pytest.raises(DataError, match="cannot be read as a memory snapshot"):
        read_snapshot(tmp_path / "broken.pickle")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """The path stands in the message."""
    with pytest.raises(DataError, match=r"nothing\.pickle"):
        read_snapshot(tmp_path / "nothing.pickle")


@pytest.mark.parametrize("thing", [{}, {"segments": []}, [1]])
def test_something_else_is_no_snapshot(thing):
    """Without segments and traces it is no snapshot, and the message says where one comes from."""
    with pytest.raises(DataError, match="_snapshot"):
        read_snapshot(thing)


def test_an_empty_card_is_a_snapshot_too():
    """Nothing allocated, nothing held."""
    seen = read_snapshot({"segments": [], "device_traces": []})

    assert (seen.allocated, seen.peak_position, seen.peak_allocated_bytes, seen.peak_reserved_bytes) == ((), -1, 0, 0)
