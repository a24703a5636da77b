"""A cap on what this process takes, so that it does not push a neighbour off the card."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.units import format_bytes, format_value


def propose(evidence: Evidence) -> Proposal | None:
    """Where others hold memory on the same card, and nothing is capped yet."""
    capacity, card = evidence.capacity_bytes, evidence.card
    if not evidence.others_bytes or evidence.config.memory_fraction is not None or card is None or not capacity:
        return None
    share = int(100 * capacity / card.most_total.bytes) / 100  # a share of whatever the card has
    if share <= 0 or (evidence.memory is not None and evidence.memory.peak_reserved_bytes > share * card.total_bytes):
        return None
    return Proposal(
        tip="memory_cap",
        goal="memory",
        title=text("tip.memory_cap.title", "Take at most {share} of the card", share=format_value(share, "fraction")),
        why=text(
            "tip.memory_cap.why",
            "Others hold {others} of this {card}. With a cap, a step that needs too much fails here, in words, and not at "
            "their next request.",
            others=format_bytes(evidence.others_bytes),
            card=card.name,
        ),
        change={"memory_fraction": share},
        costs=(
            text(
                "tip.memory_cap.cost",
                "Caps PyTorch's allocator alone, neither the CUDA context nor other libraries.",
            ),
        ),
        safe=True,
        code=(
            Code("bigmodel_lab", f"lab.fit(…, memory_fraction={share})", in_mid_run=True),
            Code("plain", f"torch.cuda.set_per_process_memory_fraction({share})", in_mid_run=True),
        ),
        weight=0.05,
    )


TIP = Tip(propose)
