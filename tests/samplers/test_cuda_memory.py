"""The caching allocator's numbers, through a stand-in for torch in sys.modules."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from bigmodel_lab.samplers.cuda_memory import CudaMemorySampler


class FakeCuda:
    """torch.cuda as far as it is asked; every other access fails."""

    def __init__(self, stats, initialised=True) -> None:
        self.asked: list[int] = []
        self._stats = stats
        self._initialised = initialised

    def is_initialized(self) -> bool:
        """As told."""
        return self._initialised

    def memory_stats_as_nested_dict(self, device: int):
        """The statistics as told, or the error."""
        self.asked.append(device)
        if isinstance(self._stats, Exception):
            raise self._stats
        return self._stats


def pool(current: int, peak: int):
    """One group of the statistics, as PyTorch nests it."""
    return {"all": {"current": current, "peak": peak, "allocated": 999, "freed": 1}, "small_pool": {}, "large_pool": {}}


STATS = {"allocated_bytes": pool(10, 20), "reserved_bytes": pool(30, 40), "num_ooms": 0}


def sample_with(monkeypatch, cuda, uuid=None):
    """One sample while this stands for torch.cuda."""
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return CudaMemorySampler(uuid).sample()


def test_the_four_numbers(monkeypatch):
    """Current and peak of allocated and reserved."""
    assert sample_with(monkeypatch, FakeCuda(STATS)).values == {
        "allocated_bytes": 10,
        "reserved_bytes": 30,
        "peak_allocated_bytes": 20,
        "peak_reserved_bytes": 40,
    }


def test_one_call_fetches_all(monkeypatch):
    """PyTorch is asked once a sample, for cuda:0."""
    cuda = FakeCuda(STATS)
    sample_with(monkeypatch, cuda)
    assert cuda.asked == [0]


def test_a_true_zero_stays_zero(monkeypatch):
    """Nothing allocated is known, not unknown."""
    sample = sample_with(monkeypatch, FakeCuda({"allocated_bytes": pool(0, 0), "reserved_bytes": pool(0, 0)}))
    assert set(sample.values.values()) == {0}
    assert not sample.reasons


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (SimpleNamespace(), "not imported"),
        (SimpleNamespace(cuda=SimpleNamespace()), "not imported"),
        (SimpleNamespace(cuda=FakeCuda(STATS, initialised=False)), "has not used a GPU"),
        (SimpleNamespace(cuda=FakeCuda({})), "has not used a GPU"),
        (SimpleNamespace(cuda=FakeCuda(RuntimeError("CUDA error: device lost"))), "device lost"),
    ],
)
def test_unknown_says_why(monkeypatch, module, words):
    """Half imported, not initialised, or broken."""
    monkeypatch.setitem(sys.modules, "torch", module)
    sample = CudaMemorySampler().sample()
    assert set(sample.values.values()) == {None}
    assert all(words in reason for reason in sample.reasons.values())


def test_without_torch(monkeypatch):
    """Never imported here."""
    monkeypatch.delitem(sys.modules, "torch")
    assert "not imported" in CudaMemorySampler().sample().reasons["allocated_bytes"]
    assert "torch" not in sys.modules


def test_a_card_that_is_hidden_is_named(monkeypatch):
    """A UUID that this process may not see."""
    sample = sample_with(monkeypatch, FakeCuda(STATS), "GPU-hidden")
    assert "GPU-hidden" in sample.reasons["allocated_bytes"]


def test_the_card_is_found_by_uuid(stub):
    """The second card of the machine is cuda:0 when it alone is visible, and cuda:1 when all are."""
    code = """
        import sys, types
        asked = []
        def stats(i): asked.append(i); return {g: {"all": {"current": 1, "peak": 1}} for g in ("allocated_bytes", "reserved_bytes")}
        sys.modules["torch"] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: True, memory_stats_as_nested_dict=stats))
        from bigmodel_lab.samplers.cuda_memory import CudaMemorySampler
        CudaMemorySampler("GPU-00000001-0000-0000-0000-000000000000").sample()
        show(asked)
    """
    assert stub.run("cards 2", code) == [1]
    stub.environment = {"CUDA_VISIBLE_DEVICES": "GPU-00000001"}
    assert stub.run("cards 2", code) == [0]


def test_the_real_torch_has_the_function():
    """The name and its answer before CUDA runs, in the installed version."""
    assert torch.cuda.memory_stats_as_nested_dict(0) == {} or torch.cuda.is_initialized()
