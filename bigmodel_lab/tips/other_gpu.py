"""Another card of this machine is free and has more memory."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.units import format_bytes


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short, or others share the card, and nobody computes on one that has more to give."""
    capacity, card = evidence.capacity_bytes, evidence.card
    crowded = evidence.memory_pressure is not None or evidence.others_bytes > 0
    if capacity is None or card is None or not crowded or not evidence.platform.other_cards:
        return None
    best = max(evidence.platform.other_cards, key=lambda other: other.free_bytes)
    there = best.free_bytes - card.most_context.bytes  # the process needs a context there, too
    if there <= capacity:
        return None
    return Proposal(
        tip="other_gpu",
        goal="memory",
        title=text("tip.other_gpu.title", "Move to GPU {index} ({name})", index=best.index, name=best.name),
        why=text(
            "tip.other_gpu.why",
            "Nobody computes there, and this process could have {free}; here it can have {capacity}.",
            free=format_bytes(there),
            capacity=format_bytes(capacity),
        ),
        needs_restart=True,
        costs=(text("tip.other_gpu.cost", "The run starts there anew, or goes on from its checkpoint."),),
        code=(
            Code("bigmodel_lab", f'lab.resume(run, device="cuda:{best.index}")', in_mid_run=False),
            Code("plain", f'device = torch.device("cuda:{best.index}")', in_mid_run=False),
        ),
        weight=0.4,
    )


TIP = Tip(propose)
