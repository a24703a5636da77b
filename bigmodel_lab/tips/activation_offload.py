"""Activations wait in main memory until the backward pass needs them."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips import activation_checkpointing
from bigmodel_lab.tips._words import saves
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_bytes

_WORTH = 0.05
"""A smaller saving is not worth the way to main memory and back (our choice)."""
_HOST_MARGIN = 1.2
"""Main memory must have so many times what is moved: pinned memory cannot be swapped out (our choice)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short and main memory is not; after checkpointing, which is faster."""
    short, free = evidence.memory_pressure, evidence.platform.host_free_bytes
    config = evidence.config
    if short is None or free is None or config.activation_offload or evidence.mode != "train":
        return None
    effect = evidence.memory_after(activation_offload=True)
    if effect is None or not saves(effect, _WORTH) or free < _HOST_MARGIN * effect.saved_bytes:
        return None
    faster = activation_checkpointing.propose(evidence)
    if faster is not None and evidence.would_fit(**faster.change):
        return None
    return Proposal(
        tip="activation_offload",
        goal="memory",
        title=text("tip.offload.title", "Activations wait in main memory"),
        why=text(
            "tip.offload.why",
            "{short} {moved} of activations can wait in main memory, which has {free} left.",
            short=short,
            moved=format_bytes(effect.saved_bytes),
            free=format_bytes(free),
        ),
        change={"activation_offload": True},
        memory=effect,
        speed=SpeedEffect(
            1.0, 3.0, text("tip.offload.source", "not published for such a step: every activation crosses PCIe twice")
        ),
        costs=(text("tip.offload.cost", "Time: the card waits for what comes back. Main memory is pinned meanwhile."),),
        safe=True,
        weight=0.15,
    )


TIP = Tip(propose)
