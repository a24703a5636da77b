"""The comparisons of ``overhead.py``: which loop, against which, on what; measured in a kernel of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from benchmarks.measuring.block import Block
from benchmarks.measuring.kernel import Kernel, Published
from benchmarks.measuring.pairs import Comparison, Cost, Pair, compare
from benchmarks.measuring.workloads import WORKLOADS

OURS = ("fit", "watch")
"""Loops of this library."""
_ALL = ("nano", "mlp", "simple_cnn")
_OUR_WIDGET = ("delta", "keyframe")


@dataclass(frozen=True)
class Row:
    """One comparison, on one workload or several."""

    loop: str
    """File in ``benchmarks/loops``."""
    base: str = "bare"
    """File that it is compared with; the same file gives the null pairs."""
    workloads: tuple[str, ...] = _ALL
    """Keys of ``WORKLOADS``."""

    @property
    def title(self) -> str:
        """What is compared, for the report."""
        title = str(import_module(f"benchmarks.loops.{self.loop}").TITLE)
        if self.loop == self.base:
            return "null: bare against bare"
        return title if self.base == "bare" else f"{title} ÷ {import_module(f'benchmarks.loops.{self.base}').TITLE}"


ROWS = (
    Row("bare"),
    Row("fit"),
    Row("watch"),
    Row("tqdm_postfix"),
    Row("livelossplot_send"),
    Row("lightning_log"),
    Row("nvitop_collector"),
    Row("fit", base="dataloader", workloads=("simple_cnn",)),
)
"""Everything that is compared."""


@dataclass(frozen=True)
class Measured:
    """One row on one workload."""

    workload: str
    """Key of ``WORKLOADS``."""
    row: Row
    """What was compared."""
    comparison: Comparison
    """What came out."""
    date: str
    """When, to the minute."""
    load: float
    """Load of the machine in the minute before; the measurement itself makes about 1."""

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Measured:
        """The row that ``dataclasses.asdict`` and JSON made of one."""
        compared = {**row["row"], "workloads": tuple(row["row"]["workloads"])}
        return cls(**{**row, "row": Row(**compared), "comparison": Comparison(**row["comparison"])})


def measure(row: Row, workload: str, pairs: int) -> Measured:
    """Interleaved pairs AB BA AB … in a fresh kernel, after one unmeasured block of each."""
    with Kernel() as kernel:
        for loop in {row.base, row.loop}:
            run_cell(kernel, workload, loop)
        load = round(os.getloadavg()[0], 2)
        comparison = compare(list(_pairs(kernel, row, workload, pairs)))
        date = datetime.now().astimezone().isoformat(timespec="minutes")
        return Measured(workload, row, comparison, date, load)


def run_cell(kernel: Kernel, workload: str, loop: str) -> Cost:
    """One block as a cell of its own."""
    code = (
        "from dataclasses import asdict\n"
        "from benchmarks.measuring.block import run_block\n"
        f"result = asdict(run_block({workload!r}, {loop!r}))"
    )
    value, published = kernel.run(code)
    return _cost(Block(**value), published, workload)


def _pairs(kernel: Kernel, row: Row, workload: str, pairs: int) -> Iterator[Pair]:
    for number in range(pairs):
        if number % 2:
            tool = run_cell(kernel, workload, row.loop)
            yield Pair(run_cell(kernel, workload, row.base), tool)
        else:
            base = run_cell(kernel, workload, row.base)
            yield Pair(base, run_cell(kernel, workload, row.loop))


def _cost(block: Block, published: list[Published], workload: str) -> Cost:
    during = [m for m in published if block.began_ns <= m.received_ns <= block.ended_ns]
    frames = [m for m in during if m.content.get("data", {}).get("content", {}).get("type") in _OUR_WIDGET]
    sent = sum(m.bytes for m in during) / WORKLOADS[workload].steps
    return Cost(block.wall_us, block.thread_us, block.process_us, sent, len(frames))
