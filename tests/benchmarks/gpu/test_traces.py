"""Events of the allocator become recordings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.gpu.cases import Case
from benchmarks.gpu.shapes import MLP
from benchmarks.gpu.traces import keep, recorded
from bigmodel_lab.errors import DataError
from bigmodel_lab.memory.recording import Recording, read_recording

EVENTS = [
    {"action": "segment_alloc", "addr": 4096, "size": 2**21, "stream": 0},
    {"action": "alloc", "addr": 4096, "size": 512, "stream": 0},
    {"action": "free_requested", "addr": 4096, "size": 512, "stream": 0},
    {"action": "free_completed", "addr": 4096, "size": 512, "stream": 0},
]


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A card that saw these events; what was asked of its history."""
    asked: list[Any] = []
    properties = SimpleNamespace(total_memory=2**34)
    stats = {"reserved_bytes.all.peak": 2**21, "num_device_alloc": 7, "num_ooms": 0}
    monkeypatch.setattr(
        torch.cuda.memory, "_record_memory_history", lambda mode, **options: asked.append((mode, options))
    )
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda _: {"device_traces": [EVENTS]})
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda _: stats)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda.memory, "get_per_process_memory_fraction", lambda _: 1.0)
    for place in (torch.cuda, torch.cuda.memory):
        monkeypatch.setattr(place, "set_per_process_memory_fraction", lambda *share: asked.append(share))
    monkeypatch.delenv("EMU_CARD", raising=False)
    return asked


def test_a_run_is_recorded_from_an_empty_history(history: list[Any]) -> None:
    """Without call stacks, with room for every event, and switched off afterwards."""
    result, recording = recorded(lambda: "done", "mlp, two steps")

    assert result == "done"
    assert [mode for mode, _ in history] == ["all", None]
    assert history[0][1]["clear_history"]
    assert history[0][1]["context"] is None
    assert (recording.card, recording.total_bytes, recording.workload) == ("NVIDIA H200", 2**34, "mlp, two steps")
    assert recording.peak_reserved_bytes == 2**21


def test_counters_since_the_start_of_the_process_are_left_out(history: list[Any]) -> None:
    """Calls of the driver were counted in earlier cases too, and cannot be counted anew."""
    assert dict(recorded(lambda: None, "x")[1].stats) == {"reserved_bytes.all.peak": 2**21, "num_ooms": 0}


def test_the_settings_of_the_process_are_kept(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the new name of the variable, or the old."""
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")

    assert recorded(lambda: None, "x")[1].settings == "max_split_size_mb:64"


def test_the_history_is_switched_off_after_a_failure(history: list[Any]) -> None:
    """The next case shall not pay for it."""

    def fail() -> None:
        message = "out of memory"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError):
        recorded(fail, "x")
    assert history[-1][0] is None


def test_a_beginning_that_nothing_tells_is_refused(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is freed must have been allocated in the recording, or stand in the segments of the snapshot."""
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda _: {"device_traces": [EVENTS[2:]]})

    with pytest.raises(DataError):
        recorded(lambda: None, "x")


def test_a_run_may_begin_in_the_middle(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The segments of the snapshot tell what was there before."""
    block = {"address": 4096, "size": 2**21, "requested_size": 0, "state": "inactive"}
    segment = {"address": 4096, "total_size": 2**21, "stream": 0, "segment_type": "small", "blocks": [block]}
    snapshot = {"device_traces": [EVENTS[2:]], "segments": [{**segment, "device": 1}, segment]}
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda _: snapshot)
    _, recording = recorded(lambda: None, "x")

    assert [block.state for block in recording.beginning[0].blocks] == ["active_allocated", "inactive"]
    assert len(recording.end) == 1


def test_memory_fractions_are_kept_with_their_place(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was set before, and each that is set meanwhile, which still reaches torch."""
    monkeypatch.setattr(torch.cuda.memory, "get_per_process_memory_fraction", lambda _: 0.25)
    _, recording = recorded(lambda: torch.cuda.set_per_process_memory_fraction(0.5, "cuda:0"), "x")

    assert recording.fractions == ((0, 0.25), (4, 0.5))
    assert history[1:2] == [(0.5, "cuda:0")]
    assert "note" not in torch.cuda.set_per_process_memory_fraction.__qualname__


def test_a_fraction_of_another_card_is_none_of_this_one(history: list[Any]) -> None:
    """Each card has its own."""
    assert recorded(lambda: torch.cuda.set_per_process_memory_fraction(0.5, "cuda:1"), "x")[1].fractions == ()


def test_a_fraction_among_the_settings_is_not_set_again(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch tells it from whole bytes, so it comes back a little larger."""
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "per_process_memory_fraction:0.6")
    monkeypatch.setattr(torch.cuda.memory, "get_per_process_memory_fraction", lambda _: 0.6000000000931323)

    assert recorded(lambda: None, "x")[1].fractions == ()


def test_settings_that_change_meanwhile_are_refused(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording has one set of settings."""
    confs = iter(["", "expandable_segments:True"])
    monkeypatch.setattr(
        torch.cuda.memory,
        "_snapshot",
        lambda _: {"device_traces": [EVENTS], "allocator_settings": {"PYTORCH_CUDA_ALLOC_CONF": next(confs)}},
    )
    with pytest.raises(DataError, match="expandable_segments:True"):
        recorded(lambda: None, "x")


def test_an_emulated_card_is_called_so(history: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers come from PyTorch's own allocator, and from no card."""
    monkeypatch.setenv("EMU_CARD", "H200")

    assert recorded(lambda: None, "x")[1].card == "emulated NVIDIA H200"


def test_a_recording_is_named_by_card_and_case(tmp_path: Path) -> None:
    """In letters, digits and hyphens."""
    path = keep(Recording((), card="NVIDIA A100-SXM4-80GB"), Case(MLP((5, 3)), 2), tmp_path / "new")

    assert path.name == "a100-sxm4-80gb_linear5-3_b2_fp32_adamw.json.gz"
    assert read_recording(path).card == "NVIDIA A100-SXM4-80GB"
