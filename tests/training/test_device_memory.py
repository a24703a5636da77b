"""The memory of a device behind one seam: unknown, simulated, and CUDA with stand-ins for PyTorch's functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bigmodel_lab._virtual_gpu import VirtualGpu
from bigmodel_lab._virtual_gpu.device_memory import VirtualMemory
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.training.device_memory import CudaMemory, UnknownMemory, current_alloc_conf, memory_of, with_option

MIB = 2**20


@pytest.fixture
def gpu() -> VirtualGpu:
    """A card of 2 GiB."""
    return VirtualGpu("2GiB")


def test_of_a_cpu_nothing_is_known() -> None:
    """Unknown, not 0."""
    memory = memory_of("cpu")

    assert (memory.capacity_bytes(), memory.in_use(), memory.peaks()) == (None, None, None)


def test_what_a_cpu_cannot_do_does_no_harm() -> None:
    """A run need not ask where it is."""
    memory = UnknownMemory()
    memory.reset_peaks()
    memory.empty_cache()
    memory.clear_workspaces()
    memory.set_fraction(0.5)
    memory.set_expandable(True)

    assert (memory.alloc_retries(), memory.by_category()) == (0, {})


def test_peaks_count_from_their_reset(gpu: VirtualGpu) -> None:
    """What was higher before is forgotten."""
    memory = VirtualMemory(gpu)
    with gpu:
        large = torch.zeros(10 * MIB)
        del large
        memory.reset_peaks()
        small = torch.zeros(MIB)
        peak = memory.peaks().allocated_bytes

    assert peak == small.numel() * 4


def test_the_peak_of_reserved_memory_is_reset_as_well(gpu: VirtualGpu) -> None:
    """To what is held now."""
    memory = VirtualMemory(gpu)
    with gpu:
        large = torch.zeros(10 * MIB)
        del large
        memory.empty_cache()
        memory.reset_peaks()
        peak = memory.peaks().reserved_bytes

    assert peak == 0


def test_a_cap_holds_on_a_simulated_card(gpu: VirtualGpu) -> None:
    """And is taken away again."""
    memory = VirtualMemory(gpu)
    memory.set_fraction(0.01)
    with gpu, pytest.raises(torch.OutOfMemoryError):
        torch.zeros(10 * MIB)
    memory.set_fraction(None)
    with gpu:
        kept = torch.zeros(10 * MIB)

    assert kept.numel() == 10 * MIB


def test_the_capacity_follows_the_cap(gpu: VirtualGpu) -> None:
    """A share of the whole card."""
    memory = VirtualMemory(gpu)
    before = memory.capacity_bytes()
    memory.set_fraction(0.25)

    assert (before, memory.capacity_bytes()) == (gpu.card.usable_bytes(), gpu.card.total_bytes // 4)


def test_a_cap_that_others_have_set_counts(gpu: VirtualGpu) -> None:
    """The card remembers it, not who asks."""
    gpu.set_memory_fraction(0.25)

    assert VirtualMemory(gpu).capacity_bytes() == gpu.card.total_bytes // 4


def test_workspaces_of_a_simulated_card_can_be_given_back(gpu: VirtualGpu) -> None:
    """As on a card."""
    memory = VirtualMemory(gpu)
    with gpu:
        product = torch.ones(8, 8) @ torch.ones(8, 8)
        before = memory.in_use().allocated_bytes
        memory.clear_workspaces()
        after = memory.in_use().allocated_bytes

    assert product.shape == (8, 8)
    assert after < before


def test_a_simulated_allocator_cannot_change_its_kind(gpu: VirtualGpu) -> None:
    """The error says how to start with it."""
    with pytest.raises(ConfigError, match="expandable_segments=True"):
        VirtualMemory(gpu).set_expandable(True)


def test_the_kind_that_it_has_is_no_change(gpu: VirtualGpu) -> None:
    """Nothing is raised."""
    VirtualMemory(gpu).set_expandable(False)


def test_what_is_offloaded_leaves_the_card(gpu: VirtualGpu) -> None:
    """Activations of the forward pass are on the host until they are used."""
    memory, model = VirtualMemory(gpu), torch.nn.Sequential(*(torch.nn.PReLU(8) for _ in range(6)))
    batch = torch.rand(4, 8, 256, 256)
    with gpu:
        gpu.adopt(model, batch)
        kept = model(batch)
        plain = gpu.allocated_bytes
        del kept
        with memory.offloading():
            kept = model(batch)
        offloaded = gpu.allocated_bytes
        kept.sum().backward()

    assert offloaded < plain / 2


def test_gradients_of_what_was_offloaded_are_the_same(gpu: VirtualGpu) -> None:
    """To the bit."""
    memory, layer = VirtualMemory(gpu), torch.nn.Linear(8, 8)
    x = torch.rand(4, 8)
    layer(x).square().sum().backward()
    plain = layer.weight.grad.clone()
    layer.zero_grad()
    with gpu:
        with memory.offloading():
            loss = layer(x).square().sum()
        loss.backward()

    assert torch.equal(layer.weight.grad, plain)


def test_other_settings_of_the_allocator_stay() -> None:
    """PyTorch reads the whole text anew, and forgets what is not in it."""
    assert with_option("max_split_size_mb:64", "expandable_segments:", "True") == (
        "max_split_size_mb:64,expandable_segments:True"
    )


def test_an_option_is_set_once() -> None:
    """The old value goes."""
    assert with_option("expandable_segments:False, backend:native", "expandable_segments:", "True").count("expand") == 1


def test_the_older_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in torch 2.13."""
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

    assert current_alloc_conf() == "expandable_segments:True"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """PyTorch's functions for CUDA, standing in for a card; what they were called with."""
    called: dict[str, Any] = {}
    numbers = {
        "memory_allocated": 1,
        "memory_reserved": 2,
        "max_memory_allocated": 3,
        "max_memory_reserved": 4,
        "mem_get_info": (70, 100),
        "memory_stats": {"num_alloc_retries": 5},
    }
    for name, value in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    for name in ("empty_cache", "reset_peak_memory_stats", "set_per_process_memory_fraction"):
        monkeypatch.setattr(torch.cuda, name, lambda *args, name=name: called.setdefault(name, args))
    return called


def test_cuda_tells_its_counters(cuda: dict[str, Any]) -> None:
    """Those of PyTorch."""
    memory = CudaMemory("cuda:0")

    assert (memory.in_use(), memory.peaks()) == (memory.in_use().__class__(1, 2), memory.peaks().__class__(3, 4))
    assert memory.alloc_retries() == 5


def test_cuda_can_have_what_is_free_and_what_it_holds(cuda: dict[str, Any]) -> None:
    """Within its cap."""
    memory = CudaMemory("cuda:0")
    free = memory.capacity_bytes()
    memory.set_fraction(0.5)

    assert (free, memory.capacity_bytes()) == (72, 50)
    assert cuda["set_per_process_memory_fraction"][0] == 0.5


def test_cuda_gives_back_its_workspaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what torch's own tests call."""
    called: list[int] = []
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: called.append(1), raising=False)
    CudaMemory("cuda:0").clear_workspaces()

    assert called == [1]


def test_a_cuda_that_cannot_give_back_its_workspaces_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error."""
    monkeypatch.delattr(torch._C, "_cuda_clearCublasWorkspaces", raising=False)
    CudaMemory("cuda:0").clear_workspaces()

    assert not hasattr(torch._C, "_cuda_clearCublasWorkspaces")


def test_expandable_segments_are_set_by_the_whole_text(cuda: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the cache was given back, so that few old segments stay."""
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64")
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    given: list[str] = []
    CudaMemory("cuda:0", set_settings=given.append).set_expandable(True)

    assert given == ["max_split_size_mb:64,expandable_segments:True"]
    assert "empty_cache" in cuda
