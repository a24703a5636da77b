"""Mixed precision in bfloat16: half the bytes of activations, tensor cores for products and convolutions."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._mixed_precision import is_full, mixed_precision
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip

AMPERE = (8, 0)
"""The first compute capability with bfloat16 in hardware; ``torch.cuda.is_bf16_supported`` says yes of older ones, too,
unless it is told that emulation does not count."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where the card computes in bfloat16 and the run does not."""
    if not is_full(evidence) or not evidence.capability_from(AMPERE):
        return None
    card = evidence.card
    assert card is not None
    why = text(
        "tip.bf16.why",
        "The run computes in {precision}, and {card} has tensor cores for bf16.",
        precision=evidence.config.precision,
        card=card.name,
    )
    return mixed_precision(
        evidence,
        "bf16",
        title=text("tip.bf16.title", "Mixed precision: bf16"),
        why=why,
        speed=SpeedEffect(
            0.38,
            1.0,
            text(
                "tip.bf16.source",
                "A100, TF32 to mixed precision, BERT-Large 1.83 and ResNet-50 2.63 times the samples a second; NVIDIA "
                "DeepLearningExamples",
            ),
        ),
        cost=text(
            "tip.bf16.cost",
            "Changes the arithmetic: products and convolutions keep 8 bits of each number; weights stay in fp32.",
        ),
    )


TIP = Tip(propose)
