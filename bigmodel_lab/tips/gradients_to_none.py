"""Gradients are dropped between steps instead of being kept and filled with zeros."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.units import format_bytes

_BYTES = 4
"""Of a gradient in fp32."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where a loop of one's own keeps them. ``fit`` always drops them, the other frameworks by default."""
    model = evidence.model
    if evidence.keeps_gradients is not True or evidence.framework != "plain" or model is None:
        return None
    return Proposal(
        tip="gradients_to_none",
        goal="memory",
        title=text("tip.gradients.title", "Drop gradients between steps"),
        why=text(
            "tip.gradients.why",
            "From step to step {size} of gradients stay in memory, also while the activations of the next step grow.",
            size=format_bytes(_BYTES * model.trainable_parameters),
        ),
        code=(Code("plain", "optimizer.zero_grad()  # set_to_none=True is the default", in_mid_run=True),),
        weight=0.1,
    )


TIP = Tip(propose)
