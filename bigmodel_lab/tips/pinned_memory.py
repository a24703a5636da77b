"""Batches in pinned memory, so that they are copied to the card while it computes."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import waits_for_data
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where steps wait for a loader that does not pin."""
    wait = waits_for_data(evidence)
    if wait is None or wait.loader.pins_memory or not evidence.on_cuda:
        return None
    return Proposal(
        tip="pinned_memory",
        goal="speed",
        title=text("tip.pinned.title", "Pinned memory for batches"),
        why=text(
            "tip.pinned.why", "{why} The loader does not pin, so each copy to the card stops the program.", why=wait.why
        ),
        speed=wait.gone,
        costs=(
            text(
                "tip.pinned.cost",
                "Pinned memory cannot be swapped out. Let the loader do it: x.pin_memory() by hand can be twice as slow "
                "(PyTorch's tutorial on pinned memory).",
            ),
        ),
        code=(
            Code("plain", "DataLoader(…, pin_memory=True)\nx = x.to(device, non_blocking=True)", in_mid_run=False),
            Code("transformers", "TrainingArguments(dataloader_pin_memory=True)", in_mid_run=False),
            Code("lightning", "DataLoader(…, pin_memory=True)", in_mid_run=False),
        ),
        weight=min(0.5, wait.share),
    )


TIP = Tip(propose)
