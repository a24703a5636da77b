"""One measured block: some steps of a loop between two stamps, after its warm-up."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from importlib import import_module
from itertools import count

import torch
from torch import Tensor, nn

from benchmarks.loops.base import Job
from benchmarks.measuring.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Block:
    """What a step of one loop took, on average over the block."""

    wall_us: float
    """Microseconds of the clock on the wall."""
    thread_us: float
    """Microseconds of CPU of the thread that trains."""
    process_us: float
    """Microseconds of CPU of the whole process: with samplers, writer and display."""
    began_ns: int
    """``time.perf_counter_ns()`` at the first stamp; on Linux the same clock in all processes."""
    ended_ns: int
    """The same at the last stamp."""


class Stamped(nn.Module):
    """A model that looks at the clocks when it is called for the first and for the last step of the block.

    It stands inside the model, so that every loop is timed at the same place, whoever drives it.
    """

    def __init__(self, model: nn.Module, first: int, last: int) -> None:
        super().__init__()
        self.model = model
        self._stamp_at = frozenset({first, last})
        self._calls = count()
        self.stamps: list[tuple[int, int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        """The model's scores. Only calls that train are counted."""
        if self.training and torch.is_grad_enabled() and next(self._calls) in self._stamp_at:
            self.stamps.append((time.perf_counter_ns(), time.thread_time_ns(), time.process_time_ns()))
        scores: Tensor = self.model(x)
        return scores


def run_block(workload: str, loop: str) -> Block:
    """Train one pass with a loop on fresh weights; what its block took.

    Args:
        workload: Key of :data:`WORKLOADS`.
        loop: Name of a file in ``benchmarks/loops``.

    Raises:
        RuntimeError: The loop did not make the steps it was asked for.
    """
    torch.set_num_threads(1)
    job = _job(WORKLOADS[workload])
    module = import_module(f"benchmarks.loops.{loop}")
    gc.collect()  # what earlier blocks left behind is not this one's
    module.run(job)
    assert isinstance(job.model, Stamped)
    if len(job.model.stamps) != 2:
        raise RuntimeError(f"{loop} on {workload} passed {len(job.model.stamps)} of 2 stamps in {job.steps} steps.")
    (wall, thread, process), (wall_end, thread_end, process_end) = job.model.stamps
    each = WORKLOADS[workload].steps * 1000
    return Block((wall_end - wall) / each, (thread_end - thread) / each, (process_end - process) / each, wall, wall_end)


def _job(work: Workload) -> Job:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Stamped(work.build(), work.warm_up, work.warm_up + work.steps)
    return Job(model.train(), work.data, work.batch, work.all_steps, every=work.every)
