"""The smaller of two micro-batches that are equally fast: its memory is free for other things."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips import _batch
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where the run itself has measured a smaller size within 5 % of the present throughput."""
    config = evidence.config
    measured = evidence.steps.throughput_by_micro_batch if evidence.steps is not None else {}
    now = measured.get(config.micro_batch_size)
    if now is None or evidence.simulated:
        return None
    present = config.micro_batch_size
    sizes = [size for size in measured if size < present and _batch.is_as_fast(measured, size, present)]
    if not sizes:
        return None
    size = min(sizes)
    ratio = now / measured[size]
    return Proposal(
        tip="throughput_knee",
        goal="memory",
        title=_batch.title(config, size),
        why=text(
            "tip.throughput_knee.why",
            "Measured in this run: {small:.4g} samples/s at a micro-batch of {size}, {large:.4g} at {present}. The larger "
            "one takes more memory and is not faster.",
            small=measured[size],
            size=size,
            large=now,
            present=present,
        ),
        change=_batch.change_to(config, size),
        memory=evidence.memory_after(micro_batch_size=size),
        speed=SpeedEffect(ratio, ratio, text("tip.throughput_knee.source", "measured in this run")),
        costs=_batch.costs(evidence),
        changes_arithmetic=_batch.changes_arithmetic(evidence),
        weight=0.1,
    )


TIP = Tip(propose)
