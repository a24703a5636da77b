"""What an answer of a trained model costs: time and memory, against the number of samples computed at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bigmodel_lab._table import Table
from bigmodel_lab.data import Batches
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.step import Task
from bigmodel_lab.training.trainer import Trainer
from bigmodel_lab.units import format_bytes, format_number, format_seconds, format_value

_WARM_UP_PASSES = 5
_WARM_UP_S = 0.2
_LEAST_PASSES = 20
_MOST_PASSES = 1000
_ROUND_TO = 512  # the CUDA allocator hands out memory in multiples of this


@dataclass(frozen=True)
class BatchCost:
    """The cost of one forward pass with so many samples."""

    batch_size: int
    """Samples computed at once."""
    median_seconds: float | None
    """Time of a pass: half of them were quicker; None where the batch does not fit into memory."""
    p95_seconds: float | None
    """Time of a pass: 95 of 100 were quicker; None as above."""
    passes: int
    """Measured passes, without the warm-up."""
    peak_bytes: int | None
    """Most memory that PyTorch's tensors of this process held on the card in a pass; None with a reason."""
    added_bytes: int | None
    """How much of it the pass added to what was there before; None with a reason."""

    @property
    def samples_per_second(self) -> float | None:
        """Samples of a pass by its median time; None where that is unknown."""
        return self.batch_size / self.median_seconds if self.median_seconds else None


@dataclass(frozen=True, repr=False)
class InferenceCost:
    """Latency, throughput and memory against the batch size; prints as a table."""

    model: str
    """Name of the model."""
    device: str
    """Where it was measured, as PyTorch writes it, with the name of the card or the number of threads."""
    precision: str
    """Number format of the forward pass."""
    batches: tuple[BatchCost, ...]
    """One a batch size, in the order asked for."""
    notes: tuple[str, ...]
    """How it was measured, and why something is unknown."""

    def table(self) -> Table:
        """One row a batch size; columns of which nothing is known are left out."""
        memory = any(cost.peak_bytes is not None for cost in self.batches)
        heads = (
            text("cost.batch", "batch size"),
            text("cost.median", "latency (median)"),
            text("cost.p95", "latency (p95)"),
            text("cost.throughput", "throughput"),
            *((text("cost.peak", "peak memory"), text("cost.added", "added by the pass")) if memory else ()),
        )
        rows = tuple(_cells(cost)[: len(heads)] for cost in self.batches)
        title = text(
            "cost.title",
            "{model} on {device}, {precision}",
            model=self.model,
            device=self.device,
            precision=self.precision,
        )
        return Table(heads, rows, range(len(heads)), title)

    def __repr__(self) -> str:
        return "\n".join([self.table().text(), *self.notes])

    def _repr_html_(self) -> str:
        return "".join([self.table().html(), *(f"<p>{note}</p>" for note in self.notes)])


def measure(trainer: Trainer, batch_sizes: Sequence[int], seconds: float) -> InferenceCost:
    """Time the forward pass of the trainer's model at each batch size.

    Every pass takes a batch that lies on the device already and ends when the device has computed it. The first
    passes are not counted: they find the quickest kernels and fill caches.

    Args:
        trainer: With no step running.
        batch_sizes: Each from 1.
        seconds: Measured at each size about so long, at least 20 passes.

    Raises:
        ConfigError: A batch size is no whole number from 1, or there is none.
    """
    _check(batch_sizes)
    with trainer.judging() as task, torch.inference_mode(), _peaks_kept(trainer.device) as kept:
        costs = tuple(_cost(trainer, task, size, seconds) for size in batch_sizes)
    return InferenceCost(
        trainer.name, _device(trainer.device), trainer.precision.name, costs, (*_notes(trainer.device), *kept)
    )


def _check(batch_sizes: object) -> None:
    listed = batch_sizes if isinstance(batch_sizes, Sequence) else [None]  # a bare number is no list of them
    wrong = [size for size in listed if not isinstance(size, int) or isinstance(size, bool) or size < 1]
    if wrong or not listed:
        raise ConfigError(
            text(
                "error.batch_sizes",
                "batch_sizes is {given!r}, but must be one or more whole numbers from 1, such as (1, 8, 64).",
                given=batch_sizes,
            )
        )


def _cost(trainer: Trainer, task: Task, size: int, seconds: float) -> BatchCost:
    """Time and memory of one batch size; unknown where it does not fit."""
    device = torch.device(trainer.device)
    wait = _wait_for(device)
    try:
        x = _batch(trainer, size)

        def run() -> None:
            with task.arithmetic.forward():
                task.model(x)

        _warm_up(run, wait)
        before = _start_peak(device)
        times = _times(run, wait, seconds)
    except torch.OutOfMemoryError:
        return BatchCost(size, None, None, 0, None, None)
    peak = None if before is None else torch.cuda.max_memory_allocated(device)
    added = None if peak is None or before is None else peak - before
    median, p95 = (float(value) for value in np.percentile(times, (50, 95)))
    return BatchCost(size, median, p95, len(times), peak, added)


def _batch(trainer: Trainer, size: int) -> Tensor:
    """So many training samples on the device, some more than once where there are too few."""
    data = trainer.data
    chosen = data.train.select(torch.arange(size) % len(data.train))
    x, _ = Batches(chosen, data.scale, trainer.device).take(torch.arange(size, device=trainer.device))
    return x


def _warm_up(run: Callable[[], None], wait: Callable[[], object]) -> None:
    ends, made = time.perf_counter() + _WARM_UP_S, 0
    while made < _WARM_UP_PASSES or (time.perf_counter() < ends and made < _MOST_PASSES):
        run()
        wait()
        made += 1


def _times(run: Callable[[], None], wait: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each pass."""
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while len(times) < _LEAST_PASSES or (time.perf_counter() < ends and len(times) < _MOST_PASSES):
        start = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - start)
    return times


def _wait_for(device: torch.device) -> Callable[[], object]:
    """What returns when the device has computed all that was asked of it."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None


def _start_peak(device: torch.device) -> int | None:
    """Begin a new peak; bytes that are allocated now. None on a device without such a counter."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


@contextmanager
def _peaks_kept(device: str) -> Iterator[list[str]]:
    """The person's peak of allocated memory is put back afterwards; the list says what became of it.

    PyTorch can only set its peak to what is allocated now. So for a moment as much is allocated as was at the
    peak, where the cache holds it; the card's memory in use stays as it was.
    """
    said: list[str] = []
    if torch.device(device).type != "cuda":
        yield said
        return
    before = torch.cuda.max_memory_allocated(device)
    yield said
    missing = before - torch.cuda.max_memory_allocated(device)
    if missing > 0 and not _raised(device, before):
        said.append(
            text(
                "cost.peak_lost",
                "To measure memory, PyTorch's peak counters of {device} were reset; before, the peak of allocated "
                "memory was {peak}.",
                device=device,
                peak=format_bytes(before),
            )
        )
    else:
        said.append(
            text(
                "cost.peak_kept",
                "To measure memory, PyTorch's peak counters of {device} were reset; that of allocated memory was put back.",
                device=device,
            )
        )


def _raised(device: str, peak: int) -> bool:
    """Whether the counter of allocated memory could be brought up to a peak again."""
    wanted = (peak - torch.cuda.memory_allocated(device)) // _ROUND_TO * _ROUND_TO
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if wanted > unused:  # would take more of the card than PyTorch holds
        return False
    reserved = torch.cuda.memory_reserved(device)
    try:
        torch.empty(wanted, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        return False
    return torch.cuda.memory_reserved(device) == reserved


def _device(device: str) -> str:
    if torch.device(device).type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device == "cpu":
        return text("cost.cpu", "cpu (threads: {threads})", threads=torch.get_num_threads())
    return device


def _notes(device: str) -> list[str]:
    how = text(
        "cost.how",
        "Forward pass alone, with the batch on the device; each size after {passes} or more passes of warm-up.",
        passes=_WARM_UP_PASSES,
    )
    if torch.device(device).type == "cuda":
        return [how]
    return [
        how,
        text("cost.no_peak", "Peak memory is unknown: PyTorch counts it on CUDA only, not on {device}.", device=device),
    ]


def _cells(cost: BatchCost) -> tuple[str, ...]:
    if cost.median_seconds is None:
        return (format_number(cost.batch_size), text("cost.does_not_fit", "does not fit"), *("–",) * 4)
    return (
        format_number(cost.batch_size),
        format_seconds(cost.median_seconds),
        format_seconds(cost.p95_seconds),
        format_value(cost.samples_per_second, "samples/s"),
        format_bytes(cost.peak_bytes),
        format_bytes(cost.added_bytes),
    )
