"""What the library predicts for a case, and how far that is from the truth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import bigmodel_lab as lab
from benchmarks.gpu.cases import Case
from benchmarks.gpu.measuring import Truth
from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.memory.cards import Card, card
from bigmodel_lab.training.precision import resolve_precision


@dataclass(frozen=True)
class Estimate:
    """A prediction."""

    peak_allocated_bytes: int
    """As ``torch.cuda.max_memory_allocated`` would count."""
    peak_reserved_bytes: int
    """As ``torch.cuda.max_memory_reserved`` would count."""
    reserved_range: tuple[int, int]
    """Least and most that is expected of it."""
    moment: str
    """Where the peak is expected."""
    notes: tuple[str, ...]
    """What could not be followed."""
    seconds: float
    """How long it took."""

    def error(self, truth: Truth) -> float:
        """Of the peak allocated, relative to the truth; above 0 is too much."""
        return (self.peak_allocated_bytes - truth.peak_allocated_bytes) / truth.peak_allocated_bytes

    def covers(self, truth: Truth) -> bool:
        """The peak reserved lies inside the range."""
        least, most = self.reserved_range
        return least <= truth.peak_reserved_bytes <= most

    @property
    def half_width(self) -> float:
        """Of the range, relative to its middle."""
        least, most = self.reserved_range
        return (most - least) / (most + least)


def estimate(case: Case, gpu: str | Card) -> tuple[Estimate | None, str]:
    """The prediction, or None and why there is none.

    Args:
        case: What to predict.
        gpu: The card.
    """
    began = time.perf_counter()
    try:
        found = ask(case, gpu)
    except BigModelLabError as error:
        return None, f"{type(error).__name__}: {error}"
    return (
        Estimate(
            found.peak_allocated_bytes,
            found.peak_reserved_bytes,
            found.reserved_range,
            str(found.moment_of_peak),
            found.notes,
            time.perf_counter() - began,
        ),
        "",
    )


def ask(case: Case, gpu: str | Card) -> Any:
    """The library's own estimate of a case.

    Args:
        case: What to predict.
        gpu: The card.

    Raises:
        BigModelLabError: The library cannot say.
    """
    computed = resolve_precision(case.precision, "cuda", card(gpu).capability)  # as the measured training does
    return lab.estimate_memory(
        case.subject.build,
        case.subject.batch(case.micro_batch_size, "meta"),
        loss=case.subject.objective.loss,
        optimizer=case.rule.optimizer,
        optimizer_options=dict(case.rule.options),
        precision=computed.name,
        gpu=gpu,
        gradient_accumulation_steps=case.micro_batches,
    )
