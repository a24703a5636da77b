"""The virtual card: what a program asks of memory on the CPU, as a graphics card would have to serve it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import get_ident, local
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakSet

from torch import OutOfMemoryError, Tensor, nn
from torch.optim import Optimizer

from bigmodel_lab._virtual_gpu._ledger import Ledger
from bigmodel_lab._virtual_gpu._modules import ModulePath
from bigmodel_lab._virtual_gpu._operations import Operations
from bigmodel_lab._virtual_gpu._optimizers import OptimizerSteps
from bigmodel_lab._virtual_gpu._wording import out_of_memory
from bigmodel_lab.errors import ConfigError, OutOfDeviceMemory
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.allocator import CachingAllocator, Driver
from bigmodel_lab.memory.cards import Card, card
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.memory.segments import Segment
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.trace.cuda_rules.base import Target
from bigmodel_lab.units import format_bytes, parse_bytes

Item = TypeVar("Item")


class _Here(local):
    """The card that is in use in each thread."""

    gpu: VirtualGpu | None = None


_HERE = _Here()


def in_use_here() -> VirtualGpu | None:
    """The card that charges this thread now; None where none does.

    >>> with VirtualGpu("2GiB") as gpu:
    ...     in_use_here() is gpu
    True
    """
    return _HERE.gpu


def _stay_on_host() -> None:
    """In a forked process, e.g. a worker of a DataLoader, nothing is on the card."""
    if _HERE.gpu is not None:
        _HERE.gpu._operations.on_host = True  # noqa: SLF001 (nobody else is there to do it)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_stay_on_host)


class VirtualGpu:
    """A card that exists only in numbers; used as a context manager.

    The code inside runs for real, on the CPU and in this thread. The storage of every tensor that it makes is charged
    to the card while it lives, and so is every older tensor from its first use on: a view counts with what it views,
    a resized tensor in its new size, what is freed is free at once. Requests go through CUDA's caching allocator,
    simulated, so what grows here grows on a card. All numbers are simulated.

    What is not simulated: workspaces whose size only cuDNN knows, what a library allocates past PyTorch, other
    streams, and kernels that a CPU replaces by several operations with results between them, as attention with dropout
    or a mask: there the card shows too much. Tensors on other devices and those of other threads are not charged.

    >>> import torch
    >>> with VirtualGpu("2GiB") as gpu:
    ...     history = [torch.zeros(1024, 1024) for _ in range(3)]
    >>> gpu.allocated_bytes, gpu.reserved_bytes
    (12582912, 20971520)
    >>> del history
    >>> gpu.allocated_bytes
    0
    """

    def __init__(self, which: str | Card, *, others: int | str = 0, alloc_conf: str = "") -> None:
        """An empty card.

        Args:
            which: Name of a card, e.g. ``"T4"``; a size, e.g. ``"2GiB"``; or a card.
            others: What other processes hold on it, in bytes or with a unit.
            alloc_conf: As the environment variable PYTORCH_ALLOC_CONF has it; empty for PyTorch's defaults.

        Raises:
            UnknownNameError: There is no such card.
            UnitError: ``others`` is no size.
            ConfigError: ``alloc_conf`` is not understood.
        """
        self.card = card(which).at_its_smallest()
        """What is simulated: the smallest of its kind beside the largest context, so that what runs here fits them all."""
        self.others_bytes = others if isinstance(others, int) else parse_bytes(others)
        """What other processes hold on it."""
        driver = Driver(self.card.usable_bytes(self.others_bytes), self.card.total_bytes)
        self._allocator = CachingAllocator(AllocatorSettings.parse(alloc_conf), driver=driver)
        self._ledger = Ledger(self._allocator, self._refuse)
        self._modules = ModulePath()
        self._optimizers = OptimizerSteps(self._ledger)
        target = Target.of(self.card)
        self._operations = Operations(self._ledger, target, self._modules, self._optimizers)
        self._models: WeakSet[nn.Module] = WeakSet()
        self._share = self._allocator.settings.per_process_memory_fraction
        self._thread: int | None = None

    def __enter__(self) -> VirtualGpu:  # noqa: PYI034 (Self needs Python 3.11)
        self._check_free()
        self._operations.__enter__()  # type: ignore[no-untyped-call]  # untyped in PyTorch
        self._optimizers.follow()
        self._modules.follow()
        self._thread, _HERE.gpu = get_ident(), self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _HERE.gpu, self._thread = None, None
        self._modules.rest()
        self._optimizers.rest()
        self._operations.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]  # untyped in PyTorch
        self._look()

    def adopt(self, *things: Any) -> None:
        """Put onto the card what was made before: the parameters and buffers of a model, an optimizer's state, tensors.

        What is adopted also gets its names: allocations tell the module, and what they are for. What is not adopted is
        charged when an operation first uses it.

        Args:
            things: Models, optimizers, tensors, and lists or dicts of them.

        Raises:
            torch.OutOfMemoryError: They do not fit.

        >>> model = nn.Linear(1000, 1000)
        >>> gpu = VirtualGpu("T4")
        >>> gpu.adopt(model)
        >>> [(one.module, one.category) for one in gpu.trace().allocations]
        [('', 'parameter'), ('', 'parameter')]
        """
        for thing in things:
            if isinstance(thing, nn.Module):
                self._adopt_model(thing)
            elif isinstance(thing, Optimizer):
                self._adopt_optimizer(thing)
            elif isinstance(thing, Tensor):
                self._operations.put([thing], "input")
            elif isinstance(thing, dict):
                self.adopt(*thing.values())
            elif isinstance(thing, list | tuple):
                self.adopt(*thing)
            else:
                raise ConfigError(
                    text(
                        "virtual_gpu.adopt",
                        "A virtual GPU adopts models, optimizers and tensors, also in lists and dicts, not {kind}.",
                        kind=type(thing).__name__,
                    )
                )

    @contextmanager
    def host(self) -> Iterator[None]:
        """What the block makes stays in main memory, as data does that is read and put together there.

        A tensor that is used outside the block is charged from then on, as one that is copied to the card.

        >>> import torch
        >>> with VirtualGpu("T4") as gpu:
        ...     with gpu.host():
        ...         images = torch.zeros(1000, 28, 28)
        >>> gpu.allocated_bytes
        0
        """
        before = self._operations.on_host
        self._operations.end_mask()
        self._operations.on_host = True
        try:
            yield
        finally:
            self._operations.on_host = before

    def from_host(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches of a loader, put together in main memory; each is charged when it is used.

        Args:
            batches: E.g. a DataLoader.

        >>> import torch
        >>> with VirtualGpu("T4") as gpu:
        ...     sizes = [(gpu.allocated_bytes, (batch + 1).numel()) for batch in gpu.from_host(map(torch.ones, [2, 3]))]
        >>> sizes
        [(0, 2), (0, 3)]
        """
        source = iter(batches)
        nothing = object()
        while True:
            with self.host():
                item = next(source, nothing)
            if item is nothing:
                return
            yield item  # type: ignore[misc]
            del item  # the loop's own name for it must not keep the last batch while the next is made

    @property
    def allocated_bytes(self) -> int:
        """Memory of live tensors, in blocks of the allocator, as ``torch.cuda.memory_allocated`` counts."""
        return self._look().allocated_bytes

    @property
    def reserved_bytes(self) -> int:
        """What the allocator holds of the card, as ``torch.cuda.memory_reserved`` counts."""
        return self._look().reserved_bytes

    @property
    def peak_allocated_bytes(self) -> int:
        """Highest :attr:`allocated_bytes` so far."""
        return self._look().peak_allocated_bytes

    @property
    def peak_reserved_bytes(self) -> int:
        """Highest :attr:`reserved_bytes` so far."""
        return self._look().peak_reserved_bytes

    @property
    def expandable_segments(self) -> bool:
        """Segments of its allocator grow."""
        return self._allocator.settings.expandable_segments

    @property
    def process_device_bytes(self) -> int:
        """What this process holds of the card: the CUDA context and what is reserved."""
        return self.card.context_bytes + self.reserved_bytes

    @property
    def device_used_bytes(self) -> int:
        """What all processes hold of the card."""
        return self.process_device_bytes + self.others_bytes

    def stats(self) -> dict[str, int]:
        """Counts and sums under the names of ``torch.cuda.memory_stats``."""
        return self._look().stats()

    def segments(self) -> tuple[Segment, ...]:
        """What the allocator holds and how it is cut; the owners of blocks are numbers in :meth:`trace`."""
        allocator = self._look()
        with self._ledger.lock:
            places = self._ledger.history.places()
            held = allocator.segments()
        return tuple(
            replace(
                s, blocks=tuple(replace(b, owner=None if b.owner is None else places.get(b.owner)) for b in s.blocks)
            )
            for s in held
        )

    def trace(self) -> RequestTrace:
        """What was asked of the card and given back, the latest 100,000 of it, with what was there before them.

        Names of modules, gradients and optimizer states are known of what was adopted, and of every model after the
        first step of its optimizer.
        """
        self._look()
        for model in self._models:
            self._optimizers.name_gradients(model.parameters())
        with self._ledger.lock:
            return self._ledger.history.trace()

    def empty_cache(self) -> None:
        """Give back to the card what no tensor uses, as ``torch.cuda.empty_cache`` does."""
        allocator = self._look()
        with self._ledger.lock:
            allocator.empty_cache()

    def clear_workspaces(self) -> None:
        """Give back the workspaces of cuBLAS, which the next product makes anew."""
        self._look()
        self._operations.give_back_kept()

    @property
    def computing_threads(self) -> int:
        """Threads that have a workspace of cuBLAS while a step runs, beside that of the backward pass; at least 1."""
        return self._operations.handles.beside_backward

    def reset_peaks(self) -> None:
        """Peaks count from here, as after ``torch.cuda.reset_peak_memory_stats``."""
        allocator = self._look()
        with self._ledger.lock:
            allocator.reset_peaks()

    @property
    def memory_fraction(self) -> float:
        """Share of the card that this process may hold, from 0 to 1, as it was set last."""
        return self._share

    def set_memory_fraction(self, share: float) -> None:
        """This process may hold this share of the card at most, as after ``torch.cuda.set_per_process_memory_fraction``.

        Args:
            share: From 0 to 1; 1 takes the limit away.
        """
        with self._ledger.lock:
            self._allocator.set_memory_fraction(share)
            self._share = share

    def __repr__(self) -> str:
        return text(
            "virtual_gpu.repr",
            "<VirtualGpu {name}, simulated: {allocated} allocated, {reserved} reserved, {used} of {total} used>",
            name=self.card.name,
            allocated=format_bytes(self.allocated_bytes),
            reserved=format_bytes(self.reserved_bytes),
            used=format_bytes(self.device_used_bytes),
            total=format_bytes(self.card.total_bytes),
        )

    def _look(self) -> CachingAllocator:
        """The allocator, after everything that has died was given back."""
        if self._thread in {None, get_ident()}:
            with suppress(OutOfMemoryError):  # then the next operation raises it
                self._operations.end_mask()
        self._ledger.settle()
        self._ledger.follow_emptied()
        return self._allocator

    def _refuse(self, full: OutOfDeviceMemory) -> OutOfMemoryError:
        self._optimizers.broken_off()
        return out_of_memory(full, self.card, self.others_bytes)

    def _adopt_model(self, model: nn.Module) -> None:
        self._models.add(model)
        self._modules.add(model)
        if self._thread is not None:
            self._modules.follow()
        for tensors in (model.named_parameters(), model.named_buffers()):
            for name, tensor in tensors:
                self._operations.put([tensor], "parameter", name.rpartition(".")[0])

    def _adopt_optimizer(self, optimizer: Optimizer) -> None:
        kept = (value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))
        self._operations.put(
            (value for value in kept if value.dim()), "optimizer_state"
        )  # counts of steps stay on the host
        self._optimizers.name_state(optimizer)

    def _check_free(self) -> None:
        if _HERE.gpu is not None:
            raise ConfigError(
                text(
                    "virtual_gpu.second",
                    "The virtual GPU {name} is in use in this thread. Leave its with block first: a program has one "
                    "virtual card at a time.",
                    name=_HERE.gpu.card.name,
                )
            )
        if self._thread is not None:
            raise ConfigError(
                text(
                    "virtual_gpu.other_thread",
                    "This virtual GPU ({name}) is in use in another thread. Make one of its own for this thread.",
                    name=self.card.name,
                )
            )
