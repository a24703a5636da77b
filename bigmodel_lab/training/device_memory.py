"""The memory of the device that a run trains on, as far as a run asks about it and changes it.

One small seam with three sides: CUDA, a card that is simulated (``_virtual_gpu/device_memory.py``), and a
device of whose memory nothing is known.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.autograd.graph import save_on_cpu

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.handles import Handles

_EXPANDABLE = "expandable_segments:"
_HANDLES: defaultdict[int, Handles] = defaultdict(Handles)
"""By the number of the device; of this process, whoever asks."""


@dataclass(frozen=True)
class Peaks:
    """The highest memory since the counters were last reset."""

    allocated_bytes: int
    """Of live tensors."""
    reserved_bytes: int
    """Held by the caching allocator."""


class DeviceMemory(Protocol):
    """What a run asks of its device's memory. Only the thread that trains calls it."""

    def capacity_bytes(self) -> int | None:
        """What PyTorch could hold of the device in all, others' share taken off; None is unknown."""

    def in_use(self) -> Peaks | None:
        """What is allocated and reserved now; None is unknown."""

    def peaks(self) -> Peaks | None:
        """The highest of both since :meth:`reset_peaks`; None is unknown."""

    def reset_peaks(self) -> None:
        """Count peaks from here."""

    def alloc_retries(self) -> int:
        """Times that a request was served only after the cache had been given back."""

    def empty_cache(self) -> None:
        """Give back to the device what no tensor uses."""

    def clear_workspaces(self) -> None:
        """Let go of what libraries keep of the allocator for their next call, as cuBLAS does; they take it again then."""

    def computes_here(self, *, trains: bool = False) -> None:
        """The calling thread computes on the device, and libraries keep workspaces for it.

        Args:
            trains: It runs backward passes, which have a thread of their own.
        """

    def computing_threads(self) -> int:
        """Threads for which workspaces are kept while a step runs, beside that of the backward pass; at least 1."""

    def set_fraction(self, share: float | None) -> None:
        """PyTorch takes at most this share of the device from now on; None is all of it."""

    def set_expandable(self, on: bool) -> None:
        """New segments of the allocator grow, or do not.

        Raises:
            ConfigError: This allocator cannot be changed while it is in use.
        """

    def by_category(self) -> Mapping[str, int]:
        """Bytes in use by what they are for; empty where nobody counts that."""

    def host(self) -> AbstractContextManager[object]:
        """What the block makes on the CPU lies in main memory, also where the CPU stands for a card."""

    def offloading(self) -> AbstractContextManager[object]:
        """What a forward pass inside keeps for the backward pass waits in main memory."""


class UnknownMemory:
    """A device of whose memory nothing is known, as the CPU."""

    def capacity_bytes(self) -> int | None:
        """Unknown."""
        return None

    def in_use(self) -> Peaks | None:
        """Unknown."""
        return None

    def peaks(self) -> Peaks | None:
        """Unknown."""
        return None

    def reset_peaks(self) -> None:
        """Nothing is counted."""

    def alloc_retries(self) -> int:
        """Never."""
        return 0

    def empty_cache(self) -> None:
        """There is none."""

    def clear_workspaces(self) -> None:
        """There are none."""

    def computes_here(self, *, trains: bool = False) -> None:
        """Nothing is kept."""

    def computing_threads(self) -> int:
        """The one that asks."""
        return 1

    def set_fraction(self, share: float | None) -> None:
        """There is nothing to cap."""

    def set_expandable(self, on: bool) -> None:
        """There are no segments."""

    def by_category(self) -> Mapping[str, int]:
        """Nobody counts."""
        return {}

    def host(self) -> AbstractContextManager[object]:
        """Everything lies there already."""
        return nullcontext()

    def offloading(self) -> AbstractContextManager[object]:
        """Everything lies there already."""
        return nullcontext()


class CudaMemory(UnknownMemory):
    """The memory of a CUDA device through PyTorch's own counters."""

    def __init__(self, device: str, *, set_settings: Callable[[str], None] | None = None) -> None:
        """Nothing is asked of CUDA before the first call of a method.

        Args:
            device: E.g. ``"cuda:0"``.
            set_settings: Takes a new PYTORCH_ALLOC_CONF while PyTorch runs; None is PyTorch's own way.
        """
        self._device = torch.device(device)
        self._set_settings = set_settings or _set_allocator_settings
        self._fraction: float | None = None

    def capacity_bytes(self) -> int | None:
        """What is free now and what PyTorch holds already, within the cap."""
        free, total = torch.cuda.mem_get_info(self._device)
        most = free + int(torch.cuda.memory_reserved(self._device))
        return most if self._fraction is None else min(most, int(self._fraction * total))

    def in_use(self) -> Peaks | None:
        """Now."""
        return Peaks(torch.cuda.memory_allocated(self._device), torch.cuda.memory_reserved(self._device))

    def peaks(self) -> Peaks | None:
        """Since the last reset."""
        return Peaks(torch.cuda.max_memory_allocated(self._device), torch.cuda.max_memory_reserved(self._device))

    def reset_peaks(self) -> None:
        """PyTorch's own counters, which everybody in this process shares."""
        torch.cuda.reset_peak_memory_stats(self._device)

    def alloc_retries(self) -> int:
        """``num_alloc_retries``."""
        return int(torch.cuda.memory_stats(self._device).get("num_alloc_retries", 0))

    def empty_cache(self) -> None:
        """Give the cache back to the card."""
        torch.cuda.empty_cache()

    def clear_workspaces(self) -> None:
        """By what torch's own tests call; one that has no such function keeps them."""
        clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)  # noqa: SLF001 (there is no public one)
        if clear is not None:
            clear()
            for handles in _HANDLES.values():  # of all devices, as PyTorch clears them
                handles.forget()

    def computes_here(self, *, trains: bool = False) -> None:
        """What cuBLAS keeps for each thread of this process."""
        handles = _HANDLES[self._device.index or 0]
        handles.of_this_thread()
        if trains:
            handles.of_backward()

    def computing_threads(self) -> int:
        """Those that this library knows of."""
        return _HANDLES[self._device.index or 0].beside_backward

    def set_fraction(self, share: float | None) -> None:
        """A cap on the caching allocator; neither the context nor other libraries count."""
        torch.cuda.set_per_process_memory_fraction(1.0 if share is None else share, self._device)
        self._fraction = share

    def set_expandable(self, on: bool) -> None:
        """For segments from now on; the cache is given back first, so that few old ones stay."""
        torch.cuda.empty_cache()
        self._set_settings(with_option(current_alloc_conf(), _EXPANDABLE, str(on)))

    def offloading(self) -> AbstractContextManager[object]:
        """Copies through pinned memory."""
        return save_on_cpu(pin_memory=True)


def memory_of(device: str) -> DeviceMemory:
    """The memory of a device of PyTorch.

    >>> memory_of("cpu").capacity_bytes() is None
    True
    """
    return CudaMemory(device) if torch.device(device).type == "cuda" else UnknownMemory()


def with_option(settings: str, option: str, value: str) -> str:
    """Allocator settings with one option set and all others kept: the setter reads the whole text anew.

    Args:
        settings: As PYTORCH_ALLOC_CONF has them.
        option: Its name with the colon.
        value: Its new value.

    >>> with_option("max_split_size_mb:64,expandable_segments:False", "expandable_segments:", "True")
    'max_split_size_mb:64,expandable_segments:True'
    """
    kept = [one for one in settings.split(",") if one.strip() and not one.strip().startswith(option)]
    return ",".join([*kept, f"{option}{value}"])


def current_alloc_conf() -> str:
    """PYTORCH_ALLOC_CONF of this process; where the older PYTORCH_CUDA_ALLOC_CONF is set as well, that one wins (torch 2.13)."""
    return os.environ.get("PYTORCH_CUDA_ALLOC_CONF") or os.environ.get("PYTORCH_ALLOC_CONF") or ""


def _set_allocator_settings(settings: str) -> None:
    """By what ``torch.cuda.memory._set_allocator_settings`` calls, which itself is deprecated."""
    setter = getattr(torch._C, "_accelerator_setAllocatorSettings", None)  # noqa: SLF001 (there is no public one)
    if setter is None:
        raise ConfigError(
            text(
                "device_memory.no_setter",
                "PyTorch {version} cannot change its allocator while it runs. Set PYTORCH_ALLOC_CONF={settings} before "
                "Python starts.",
                version=torch.__version__,
                settings=settings,
            )
        )
    setter(settings)
