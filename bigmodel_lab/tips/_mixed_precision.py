"""What bf16 and fp16 share: when a run computes in full numbers, and how a proposal of 16 bits is made."""

from __future__ import annotations

from typing import Literal

from bigmodel_lab.tips._words import goal_of, sentences
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect


def is_full(evidence: Evidence) -> bool:
    """The run computes in 32 bits."""
    return evidence.config.precision in {"fp32", "tf32"}


def mixed_precision(
    evidence: Evidence, name: Literal["bf16", "fp16"], *, title: str, why: str, speed: SpeedEffect, cost: str
) -> Proposal:
    """The proposal: for memory where that is short and helped, else for speed.

    Args:
        evidence: With a card that computes so.
        name: Of the tip, and of the number format.
        title: What would be done.
        why: Why this format on this card.
        speed: Expected.
        cost: What it does to the numbers.
    """
    effect = evidence.memory_after(precision=name)
    goal = goal_of(evidence, effect)
    return Proposal(
        tip=name,
        goal=goal,
        title=title,
        why=sentences(evidence.memory_pressure if goal == "memory" else None, why),
        change={"precision": name},
        memory=effect,
        speed=speed,
        costs=(cost,),
        changes_arithmetic=True,
        weight=0.6,
    )
