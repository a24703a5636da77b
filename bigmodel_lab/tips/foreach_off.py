"""The optimizer updates one tensor after the other: no temporary copy of all weights at once."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._kernels import BY_LISTS
from bigmodel_lab.tips._words import SMALL_SHARE, saves
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short while the optimizer runs, and it works by lists."""
    config, short, full = evidence.config, evidence.memory_pressure, evidence.out_of_memory
    options = config.optimizer_options
    if short is None or config.optimizer not in BY_LISTS or options.get("fused") or options.get("foreach") is False:
        return None
    changed = {**options, "foreach": False}
    effect = evidence.memory_after(optimizer_options=changed)
    if not saves(effect, SMALL_SHARE) and (full is None or full.phase != "optimizer"):
        return None
    return Proposal(
        tip="foreach_off",
        goal="memory",
        title=text("tip.foreach_off.title", "Optimizer tensor by tensor (foreach=False)"),
        why=text(
            "tip.foreach_off.why",
            "{short} On CUDA {optimizer} works on all parameters at once, and needs about a copy of them meanwhile.",
            short=short,
            optimizer=config.optimizer,
        ),
        change={"optimizer_options": changed},
        memory=effect,
        speed=SpeedEffect(
            1.0, 1.3, text("tip.foreach_off.source", "not published: one launch a tensor instead of a few in all")
        ),
        costs=(text("tip.foreach_off.cost", "Time: many small kernels; worst for models of many small layers."),),
        safe=True,
        weight=0.1,
    )


TIP = Tip(propose)
