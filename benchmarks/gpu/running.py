"""Runs cases on a card, each from an empty state: in this process, or in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.cases import Case
from benchmarks.gpu.measuring import CudaCard, measure
from benchmarks.gpu.rows import Row, from_json
from benchmarks.gpu.traces import keep, recorded
from bigmodel_lab.errors import BigModelLabError

COMMAND = Path(__file__).with_name("memory_truth.py")
OUT_OF_TIME = "not begun: the time was up"
_MOST_SECONDS = 180.0


@dataclass(frozen=True)
class Deadline:
    """After it nothing new begins."""

    at: float
    """Of ``time.monotonic()``."""

    @classmethod
    def after(cls, minutes: float) -> Deadline:
        """So many minutes from now."""
        return cls(time.monotonic() + 60 * minutes)

    @property
    def passed(self) -> bool:
        """It is over."""
        return time.monotonic() >= self.at


def run_all(cases: tuple[Case, ...], run: Callable[[Case], Row], deadline: Deadline) -> Iterator[Row]:
    """A row for each case as soon as it is known; those that the time does not suffice for say so.

    Args:
        cases: In this order.
        run: Runs one.
        deadline: When to stop beginning.
    """
    for case in cases:
        yield Row(case.name, why_not=OUT_OF_TIME) if deadline.passed else run(case)


def run_case(case: Case, card: CudaCard, recordings: Path) -> Row:
    """One case from a clean state, with its recording where it is traced.

    Args:
        case: What to run; in a process of its own where it asks for that, or where this one cannot be cleared.
        card: Where.
        recordings: Folder for the allocator's events.
    """
    if case.alone:
        return in_own_process(case, recordings)
    row = run_here(case, card, recordings)
    unclean = row.truth is not None and row.truth.leftover_bytes > 0
    return in_own_process(case, recordings) if unclean else row


def run_here(case: Case, card: CudaCard, recordings: Path) -> Row:
    """One case in this process.

    Args:
        case: What to run.
        card: Where.
        recordings: Folder for the allocator's events.
    """
    card.clear()
    try:
        if not case.traced:
            return Row(case.name, truth=measure(case, card))
        truth, recording = recorded(lambda: measure(case, card), f"{case.name}, two steps", card.device)
        return Row(case.name, truth=truth, recording=keep(recording, case, recordings).name)
    except (RuntimeError, BigModelLabError) as error:  # out of memory is a RuntimeError of torch
        return Row(case.name, why_not=_first_line(f"{type(error).__name__}: {error}"))


def in_own_process(case: Case, recordings: Path) -> Row:
    """One case in a fresh interpreter, through ``--case``.

    Args:
        case: What to run.
        recordings: Folder for the allocator's events.
    """
    line = [sys.executable, str(COMMAND), "--case", case.name, "--recordings", str(recordings)]
    try:
        ended = subprocess.run(line, capture_output=True, text=True, check=False, timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return Row(case.name, why_not=f"its process took more than {_MOST_SECONDS:.0f} s")
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [""]
        return Row(case.name, why_not=_first_line(f"its process ended with {ended.returncode}: {said[-1]}"))
    return from_json(json.loads(ended.stdout.splitlines()[-1]))


def _first_line(message: str) -> str:
    return message.splitlines()[0][:200]
