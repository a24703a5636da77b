"""The largest micro-batch under a memory cap: found on the card, and predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from benchmarks.gpu.cases import ADAM, ADAMW, FUSED, MOMENTUM, Case
from benchmarks.gpu.estimates import ask
from benchmarks.gpu.measuring import CudaCard, phases
from benchmarks.gpu.running import OUT_OF_TIME, Deadline
from benchmarks.gpu.shapes import GPT, LSTM, ResNet, UNet, ViT
from benchmarks.gpu.subjects import Documented
from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.units import format_bytes

UNDER = 0.05
"""A prediction may be too small by this share of the truth, or by one sample; never too large."""
_GIB = 2**30


@dataclass(frozen=True)
class Limit:
    """A case of any number of samples, and what the allocator may hold."""

    case: str
    """Name of the case; its samples are where the search begins."""
    cap_bytes: int
    """Most that the allocator may hold."""
    largest: int | None = None
    """Most samples of one step that ran; None where it was not tried."""
    predicted: int | None = None
    """What the library says; None where it says nothing."""
    why_not: str = ""
    """Why either is missing."""

    @property
    def holds(self) -> bool | None:
        """The prediction is not above the truth, and below it by little; None where one is missing."""
        if self.largest is None or self.predicted is None:
            return None
        return 0 <= self.largest - self.predicted <= max(1, UNDER * self.largest)

    def __str__(self) -> str:
        verdict = {None: "–   ", True: "pass", False: "FAIL"}[self.holds]
        return (
            f"{verdict}  {self.case} in {format_bytes(self.cap_bytes)}: {self.largest if self.largest is not None else '–'} "
            f"samples ran, predicted {self.predicted if self.predicted is not None else '–'} {self.why_not}".rstrip()
        )


LIMITS: tuple[tuple[Case, int], ...] = (
    (Case(Documented("simple_cnn"), 512, "fp16", ADAM), _GIB),
    (Case(ResNet(), 128, "fp32", MOMENTUM), 2 * _GIB),
    (Case(ResNet(blocks=(3, 4, 6, 3), bottleneck=True), 64, "bf16", ADAMW), 4 * _GIB),
    (Case(UNet(image=128), 16, "fp32", ADAMW), 2 * _GIB),
    (Case(ViT(image=224), 64, "bf16", ADAMW), 2 * _GIB),
    (Case(GPT(), 32, "bf16", ADAMW), 2 * _GIB),
    (Case(GPT(length=512, checkpointing=True), 16, "fp32", FUSED), 2 * _GIB),
    (Case(LSTM(), 32, "fp32", ADAM), _GIB),
)
"""Each with what the allocator may hold."""


def measured(card: CudaCard, deadline: Deadline) -> list[Limit]:
    """The truth of each, as far as the time suffices.

    Args:
        card: Where.
        deadline: When to stop beginning.
    """
    limits = []
    for case, cap_bytes in LIMITS:
        empty = Limit(case.name, cap_bytes)
        limits.append(replace(empty, why_not=OUT_OF_TIME) if deadline.passed else _largest(empty, case, card))
    return limits


def predicted(limits: list[Limit], gpu: Card, deadline: Deadline) -> list[Limit]:
    """The same with predictions, as far as the time suffices.

    Args:
        limits: Measured or not.
        gpu: The card, for its compute capability.
        deadline: When to stop beginning.
    """
    cases = {case.name: case for case, _ in LIMITS}
    known = [limit for limit in limits if limit.case in cases]
    return [limit if deadline.passed else _predicted(limit, cases[limit.case], gpu) for limit in known]


def from_json(values: dict[str, Any]) -> Limit:
    """From a record.

    Args:
        values: As :func:`to_json` gave them.
    """
    return Limit(**values)


def to_json(limit: Limit) -> dict[str, Any]:
    """As values of JSON.

    Args:
        limit: Any.
    """
    return asdict(limit)


def largest_that_runs(runs: Callable[[int], bool], start: int) -> int:
    """The largest number that runs, where smaller ones run as well; 0 where not even 1 does.

    Args:
        runs: Tries a number.
        start: Where to begin, from 1.
    """
    good, bad = 0, start
    while runs(bad):
        good, bad = bad, bad * 2
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if runs(middle) else (good, middle)
    return good


@contextmanager
def capped(card: CudaCard, cap_bytes: int) -> Iterator[None]:
    """The allocator may hold no more than this.

    Args:
        card: Where.
        cap_bytes: Below the card's total.
    """
    total_bytes = torch.cuda.get_device_properties(card.device).total_memory
    torch.cuda.set_per_process_memory_fraction(cap_bytes / total_bytes, card.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, card.device)


def _largest(limit: Limit, case: Case, card: CudaCard) -> Limit:
    def runs(samples: int) -> bool:
        card.clear()
        try:
            list(phases(replace(case, samples=samples), card.device))
        except torch.OutOfMemoryError:
            return False
        return True

    try:
        with capped(card, limit.cap_bytes):
            return replace(limit, largest=largest_that_runs(runs, case.samples))
    except RuntimeError as error:  # other than a lack of memory, e.g. of a library that disguises it
        return replace(limit, why_not=str(error).partition("\n")[0][:200])


def _predicted(limit: Limit, case: Case, gpu: Card) -> Limit:
    try:
        return replace(limit, predicted=ask(case, gpu).max_micro_batch_in(limit.cap_bytes))
    except BigModelLabError as error:
        return replace(limit, predicted=None, why_not=f"{type(error).__name__}: {error}")
