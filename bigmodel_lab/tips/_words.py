"""Small pieces that many tips are made of."""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence, Goal, LoaderFacts, MemoryEffect, SpeedEffect


def sentences(*parts: str | None) -> str:
    """The sentences that there are, one after the other.

    >>> sentences("First.", None, "Second.")
    'First. Second.'
    """
    return " ".join(part for part in parts if part)


SMALL_SHARE = 0.02
"""A smaller saving is within what one prediction is off (our choice)."""


def goal_of(evidence: Evidence, effect: MemoryEffect | None) -> Goal:
    """What a tip that helps both memory and speed is for now: memory where that is short and does not stay as it is.

    Args:
        evidence: What is known.
        effect: Predicted; None is unknown, and believed to help.
    """
    helps = effect is None or saves(effect, SMALL_SHARE)
    return "memory" if evidence.memory_pressure and helps else "speed"


def saves(effect: MemoryEffect | None, share: float) -> bool:
    """The predicted peak falls by more than this share of it."""
    return effect is not None and effect.saved_bytes > share * effect.before_bytes


_IDLE_PERCENT = 50.0
"""A card less busy than this waits for the program: the limit of PyTorch's profiler plugin (torch-tb-profiler 0.4.3)."""
WAITS_SHARE, WAITS_HIGH_SHARE = 0.05, 0.2
"""Waiting for data from here on is moderate, and high: TensorFlow's profiler; PyTorch's plugin has the same 5 %."""


def launch_bound(evidence: Evidence) -> str | None:
    """Why the card waits for Python and not for data, in words; None where it does not, or nothing is known."""
    steps = evidence.steps
    if steps is None or steps.gpu_utilization_percent is None or evidence.simulated or not evidence.on_cuda:
        return None  # beside a run on the CPU a card is idle, too
    waits = steps.data_wait_share or 0.0
    if steps.gpu_utilization_percent >= _IDLE_PERCENT or waits >= WAITS_SHARE:
        return None
    return text(
        "tip.launch_bound",
        "The card is busy {busy:.0f} % of the time and does not wait for data: it waits for its kernels to be launched.",
        busy=steps.gpu_utilization_percent,
    )


@dataclass(frozen=True)
class DataWait:
    """Steps that wait for a loader."""

    share: float
    """Of a step's time, 0 … 1."""
    loader: LoaderFacts
    """Whose batches they wait for."""

    @property
    def why(self) -> str:
        """How long, in words."""
        return text(
            "tip.waits_for_data", "A step waits {share:.0f} % of its time for its batch.", share=100 * self.share
        )

    @property
    def gone(self) -> SpeedEffect:
        """What is won at best: a step without the waiting."""
        return SpeedEffect(
            1 - self.share, 1.0, text("tip.data_source", "at best the waiting that was measured is gone")
        )


def waits_for_data(evidence: Evidence) -> DataWait | None:
    """The waiting of steps for a loader; None where it is short or unknown, or where there is no loader."""
    share = None if evidence.steps is None else evidence.steps.data_wait_share
    if share is None or share < WAITS_SHARE or evidence.loader is None:
        return None
    return DataWait(share, evidence.loader)
