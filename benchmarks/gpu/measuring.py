"""One case on a device, from an empty state: the very step that trains, and what the card says of its memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.gpu.cases import Case
from bigmodel_lab.models import HandWritten
from bigmodel_lab.training.optimizers import make_optimizer
from bigmodel_lab.training.precision import arithmetic_of, matmul_precision, resolve_precision
from bigmodel_lab.training.step import Task, training_step

STEPS = 2
"""Optimizer steps: the state of most optimizers is born at the end of the first."""
_SCALE = 128.0  # of the loss in fp16: torch's own, 65536, overflows at first and the scaler would skip the step
_LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Truth:
    """What the card said of one case; bytes of the caching allocator unless it says otherwise."""

    peak_allocated_bytes: int
    """Highest sum of blocks in use."""
    peak_reserved_bytes: int
    """Most that was held from the driver."""
    peak_active_bytes: int
    """As allocated, with blocks that wait for another stream."""
    peak_requested_bytes: int
    """As allocated, before rounding and splitting."""
    peaks_so_far: tuple[int, ...]
    """Peak allocated after loading and after each step: the first that equals the whole peak tells where it lies."""
    end_allocated_bytes: int
    """In use after the last step: weights, gradients, optimizer state, inputs, workspaces."""
    leftover_bytes: int
    """Held before the case began, though everything was cleared; 0 in a clean state."""
    outside_bytes: int | None
    """Of the card in use and not held by the allocator, after the last step: context, kernels, other processes."""
    alloc_retries: int
    """How often the allocator gave everything cached back and tried again."""
    seconds: float
    """Loading and both steps."""


class Counters(Protocol):
    """What a device tells of its memory."""

    device: str
    """As torch writes it."""

    def clear(self) -> None:
        """Give everything back that can be given back, and begin counting anew."""

    def stats(self) -> Mapping[str, int]:
        """By the names of ``torch.cuda.memory_stats``; waits for the device."""

    def outside_bytes(self) -> int | None:
        """Of the device in use and not held by the allocator; None where nobody knows."""


class CudaCard:
    """The counters of a CUDA card."""

    def __init__(self, device: str = "cuda:0") -> None:
        self.device = device
        torch.cuda.init()

    def clear(self) -> None:
        """Also the workspaces of cuBLAS, which torch keeps for the life of the process."""
        torch.cuda.synchronize(self.device)
        gc.collect()
        torch._C._cuda_clearCublasWorkspaces()  # noqa: SLF001 - the only way to give them back
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        torch.cuda.reset_accumulated_memory_stats(self.device)

    def stats(self) -> Mapping[str, int]:
        """Waits for the card."""
        torch.cuda.synchronize(self.device)
        return dict(torch.cuda.memory_stats(self.device))

    def outside_bytes(self) -> int | None:
        """By the driver's own count of the whole card."""
        free, total = torch.cuda.mem_get_info(self.device)
        return int(total - free - torch.cuda.memory_reserved(self.device))


def measure(case: Case, card: Counters) -> Truth:
    """Run a case once.

    Args:
        case: What to train.
        card: Where.

    Raises:
        torch.OutOfMemoryError: It does not fit.
    """
    card.clear()
    leftover, began = card.stats()["reserved_bytes.all.current"], time.perf_counter()
    seen = [(card.stats(), card.outside_bytes()) for _ in phases(case, card.device)]
    seconds = time.perf_counter() - began
    last, outside = seen[-1]
    return Truth(
        peak_allocated_bytes=last["allocated_bytes.all.peak"],
        peak_reserved_bytes=last["reserved_bytes.all.peak"],
        peak_active_bytes=last["active_bytes.all.peak"],
        peak_requested_bytes=last["requested_bytes.all.peak"],
        peaks_so_far=tuple(stats["allocated_bytes.all.peak"] for stats, _ in seen),
        end_allocated_bytes=last["allocated_bytes.all.current"],
        leftover_bytes=leftover,
        outside_bytes=outside,
        alloc_retries=last["num_alloc_retries"],
        seconds=seconds,
    )


def phases(case: Case, device: str) -> Iterator[str]:
    """Load a case and make its steps, as the trainer does; yields the name of each phase when it is over.

    Weights, inputs and optimizer are on the device until the iterator ends.

    Args:
        case: What to train.
        device: A torch device.
    """
    torch.manual_seed(0)
    precision = resolve_precision(case.precision, device)
    model = case.subject.build().to(device).train()
    objective = case.subject.objective
    arithmetic = arithmetic_of(precision, device)
    arithmetic.load_state(_with_scale(arithmetic.state()))
    by_hand = model if isinstance(model, HandWritten) else None
    task = Task(model, objective.loss, _uncounted, arithmetic, by_hand)
    optimizer = make_optimizer(case.rule.optimizer, model.parameters(), _LEARNING_RATE, case.rule.options)
    micro_batch = case.subject.batch(case.micro_batch_size, device)
    yield "load"
    with matmul_precision(precision):
        for step in range(STEPS):
            training_step(task, optimizer, [micro_batch] * case.micro_batches, case.samples)
            yield f"step {step}"


def _uncounted(_output: Tensor, _labels: Tensor) -> Tensor:
    """Nothing on the card: the loop that is estimated counts nothing."""
    return torch.zeros(())


def _with_scale(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of an arithmetic that scales the loss, with a scale that does not overflow; others as they are."""
    return {**state, "scale": _SCALE} if "scale" in state else state
