"""Images and kernels of convolutions channel by channel, as tensor cores read them."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip

_TENSOR_CORES = (7, 0)
"""Volta has the first; PyTorch's tutorial on channels last measures there."""
_SIXTEEN_BITS = frozenset(("bf16", "fp16"))
"""Tensor cores compute in these; PyTorch's tutorial on channels last measures its gain in mixed precision."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where a model convolves images in 16 bits on a card with tensor cores."""
    config, model = evidence.config, evidence.model
    if model is None or not model.convolutions or config.channels_last or config.precision not in _SIXTEEN_BITS:
        return None
    if not evidence.capability_from(_TENSOR_CORES) or evidence.memory_pressure:
        return None
    return Proposal(
        tip="channels_last",
        goal="speed",
        title=text("tip.channels_last.title", "Channels last"),
        why=text(
            "tip.channels_last.why",
            "The model has convolutions ({count}) in {precision}; their fast kernels read channels last, so that each is "
            "transposed before and after now.",
            count=model.convolutions,
            precision=config.precision,
        ),
        change={"channels_last": True},
        speed=SpeedEffect(
            0.74,
            1.0,
            text(
                "tip.channels_last.source", "8 – 35 % more images a second on Volta, ResNet-50 22 %; PyTorch's tutorial"
            ),
        ),
        costs=(
            text(
                "tip.channels_last.cost",
                "The last bits may differ; an operation that does not know this layout transposes and is slower.",
            ),
        ),
        changes_arithmetic=True,
        weight=0.15,
    )


TIP = Tip(propose)
