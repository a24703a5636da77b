"""For answers: nothing is kept for a backward pass that never comes."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where a loop of one's own evaluates or answers, and tensors still need gradients. ``fit`` does it already."""
    if evidence.keeps_graph is not True or evidence.mode == "train":
        return None
    return Proposal(
        tip="inference_mode",
        goal="memory",
        title=text("tip.inference_mode.title", "Evaluate under inference mode"),
        why=text(
            "tip.inference_mode.why",
            "The outputs need gradients, so every activation is kept for a backward pass that never comes.",
        ),
        code=(Code("plain", "model.eval()\nwith torch.inference_mode():\n    output = model(batch)", in_mid_run=True),),
        weight=0.7,
    )


TIP = Tip(propose)
