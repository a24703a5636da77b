"""What a virtual GPU costs: optimizer steps under it and without it, in interleaved pairs.

    python benchmarks/virtual_gpu.py [--pairs 21] [--record]

One thread, whose CPU time counts. Each block trains the same model for the same steps, under a card or without one;
blocks alternate AB BA AB …. A row says the median of the paired ratios with its 95 % bootstrap interval, and what is
added for each operation of torch. Passes where a step of simple_cnn, batch 64, takes at most 1.10 times as long: the
interval of its ratio includes that or less. The small step shows what is added where operations take no time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import bigmodel_lab as lab
from benchmarks.measuring.machine import record
from benchmarks.measuring.pairs import interval
from bigmodel_lab.models import MODELS

RATIO = 1.10
"""Most that the ratio of the large step may be, at the lower end of its interval."""
_BLOCK_SECONDS = 0.6
"""Least time of a block, so that the clock and the machine's other work matter little."""


@dataclass(frozen=True)
class Workload:
    """A step that is trained again and again."""

    name: str
    """What it is called."""
    model: Callable[[], nn.Module]
    """Makes the model."""
    batch: tuple[int, ...]
    """Shape of its input."""


WORKLOADS = (
    Workload("simple_cnn, batch 64", lambda: MODELS.get("simple_cnn").create(seed=0), (64, 1, 28, 28)),
    Workload(
        "small: 20-32-10, batch 16", lambda: nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10)), (16, 20)
    ),
)
"""The first is judged."""


@dataclass(frozen=True)
class Measured:
    """Interleaved pairs of one workload."""

    name: str
    """Of the workload."""
    operations: int
    """Operations of torch in a step."""
    bare_ms: float
    """A step without a card, median."""
    ratio: float
    """Step under a card over step without, median of the pairs."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of it."""
    added_us: float
    """Added for each operation, median."""


def main() -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=21, help="pairs of blocks a workload")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    rows = [measure(workload, wanted.pairs, _BLOCK_SECONDS) for workload in WORKLOADS]
    passed = rows[0].low <= RATIO
    verdict = f"{'pass' if passed else 'FAIL'}  {rows[0].name}: at most {RATIO:.2f} times a step without a card"
    report = "\n".join([*_table(rows), "", verdict])
    print(report)
    if wanted.record:
        print("Kept:", *record("virtual_gpu", {"rows": [asdict(row) for row in rows]}, report))
    return 0 if passed else 1


def measure(workload: Workload, pairs: int, block_seconds: float) -> Measured:
    """Measure one workload.

    Args:
        workload: What to train.
        pairs: How many pairs of blocks.
        block_seconds: Least time of a block.
    """
    torch.set_num_threads(1)
    step = _step_of(workload)
    operations = _operations_of(step)
    steps = max(1, round(block_seconds / _seconds(step, 3, nullcontext())))
    bare, under = np.empty(pairs), np.empty(pairs)
    for number in range(pairs):
        for is_under in ((False, True), (True, False))[number % 2]:
            taken = _seconds(step, steps, lab.virtual_gpu("A100-80") if is_under else nullcontext())
            (under if is_under else bare)[number] = taken
    ratios = under / bare
    added_us = float(np.median(under - bare)) * 1e6 / operations
    ratio, middle = float(np.median(ratios)), float(np.median(bare)) * 1e3
    return Measured(workload.name, operations, middle, ratio, *interval(ratios), added_us)


def _step_of(workload: Workload) -> Callable[[], None]:
    torch.manual_seed(0)
    model = workload.model()
    optimizer = torch.optim.Adam(model.parameters(), foreach=True)  # as CUDA does it, with the card and without
    x, y = torch.randn(workload.batch), torch.randint(0, 10, workload.batch[:1])

    def step() -> None:
        optimizer.zero_grad()
        scores: Tensor = model(x)
        F.cross_entropy(scores, y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    return step


def _seconds(step: Callable[[], None], steps: int, card: AbstractContextManager[object]) -> float:
    """Seconds of one step; the first ones, which fill caches, do not count."""
    with card:
        step()
        step()
        began = time.thread_time()
        for _ in range(steps):
            step()
        return (time.thread_time() - began) / steps


class _Counting(TorchDispatchMode):
    """Counts operations."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _operations_of(step: Callable[[], None]) -> int:
    with _Counting() as counting:
        step()
    return counting.count


def _table(rows: list[Measured]) -> list[str]:
    head = f"{'step':<28}{'operations':>11}{'bare':>11}{'ratio':>8} {'95 % interval':>16}{'added an operation':>20}"
    return [head] + [
        f"{row.name:<28}{row.operations:>11}{row.bare_ms:>8.2f} ms{row.ratio:>8.3f} "
        f"{f'{row.low:.3f} - {row.high:.3f}':>16}{row.added_us:>17.1f} µs"
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
