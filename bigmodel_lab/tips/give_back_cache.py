"""Give back what PyTorch keeps for later, where somebody else needs it now."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.units import format_bytes


def propose(evidence: Evidence) -> Proposal | None:
    """Where much lies idle in the cache and others compute on the card. A setting it is not: it is done once."""
    memory = evidence.memory
    if memory is None or not evidence.others_bytes or not evidence.is_fragmented:
        return None
    idle = memory.peak_reserved_bytes - memory.peak_allocated_bytes
    return Proposal(
        tip="give_back_cache",
        goal="memory",
        title=text("tip.give_back.title", "Give {idle} of cache back to the card", idle=format_bytes(idle)),
        why=text(
            "tip.give_back.why",
            "PyTorch holds {idle} more than its tensors took at their peak, and others compute on this card.",
            idle=format_bytes(idle),
        ),
        costs=(text("tip.give_back.cost", "The next steps ask the driver again, which takes some milliseconds once."),),
        code=(Code("plain", "torch.cuda.empty_cache()", in_mid_run=True),),
        weight=0.05,
    )


TIP = Tip(propose)
