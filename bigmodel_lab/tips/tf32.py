"""TF32: products of fp32 matrices on tensor cores, with shorter mantissas."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.tips.bf16 import AMPERE


def propose(evidence: Evidence) -> Proposal | None:
    """Where the card has TF32 and the run does not use it; memory stays as it is."""
    if evidence.config.precision != "fp32" or not evidence.capability_from(AMPERE) or evidence.memory_pressure:
        return None
    card = evidence.card
    assert card is not None
    return Proposal(
        tip="tf32",
        goal="speed",
        title=text("tip.tf32.title", "TF32 for matrix products"),
        why=text(
            "tip.tf32.why",
            "The run multiplies matrices in full fp32, and {card} has tensor cores for TF32. Convolutions use it already: "
            "cuDNN's default.",
            card=card.name,
        ),
        change={"precision": "tf32"},
        speed=SpeedEffect(
            0.15,
            1.0,
            text("tip.tf32.source", "A100, one product of 10240 × 10240 matrices, 7 times; PyTorch's CUDA notes"),
        ),
        costs=(
            text(
                "tip.tf32.cost",
                "Changes the arithmetic: factors keep 11 of 24 bits; the relative error of that product rises from 4e-5 "
                "to 2e-3.",
            ),
        ),
        changes_arithmetic=True,
        weight=0.4,
    )


TIP = Tip(propose)
