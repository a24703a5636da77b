"""Mixed precision in float16 with a gradient scaler, for cards with tensor cores and without bfloat16."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._mixed_precision import is_full, mixed_precision
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.tips.bf16 import AMPERE

_VOLTA = (7, 0)
"""The first compute capability with tensor cores."""


def propose(evidence: Evidence) -> Proposal | None:
    """On Volta and Turing, such as a T4, where the run computes in fp32."""
    # These cards have no TF32, and compute it in fp32.
    if not is_full(evidence) or not evidence.capability_from(_VOLTA) or evidence.capability_from(AMPERE):
        return None
    card = evidence.card
    assert card is not None
    why = text(
        "tip.fp16.why",
        "The run computes in fp32, and {card} has tensor cores for fp16, but none for bf16.",
        card=card.name,
    )
    return mixed_precision(
        evidence,
        "fp16",
        title=text("tip.fp16.title", "Mixed precision: fp16 with a gradient scaler"),
        why=why,
        speed=SpeedEffect(
            0.29,
            1.0,
            text(
                "tip.fp16.source",
                "V100, fp32 to mixed precision, ResNet-50 3.26 and GNMT 3.50 times the throughput; NVIDIA "
                "DeepLearningExamples",
            ),
        ),
        cost=text(
            "tip.fp16.cost",
            "Changes the arithmetic: products and convolutions keep 11 bits of each number; a step whose gradients "
            "overflow is skipped, and the scale is lowered.",
        ),
    )


TIP = Tip(propose)
