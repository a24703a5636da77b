"""A larger micro-batch, accumulated less often, where memory lies idle and the card is not busy."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips import _batch
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_bytes

_IDLE_MEMORY, _IDLE_GPU = 0.7, 70.0
"""Below these shares of memory and utilization the batch is small for the card: rule ``BatchSize`` of SageMaker Debugger
(awslabs/sagemaker-debugger-rulesconfig, 95th percentiles below 70 %)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Only as far as the effective batch goes: beyond it the optimizer would see other samples."""
    config, predictor, capacity = evidence.config, evidence.predictor, evidence.capacity_bytes
    if config.gradient_accumulation_steps == 1 or predictor is None or capacity is None or evidence.mode != "train":
        return None
    if evidence.memory_pressure is not None or not _is_idle(evidence, capacity):
        return None
    size = min(predictor.largest_micro_batch(capacity), config.effective_batch_size)
    if size <= config.micro_batch_size:
        return None
    passes = config.with_micro_batch(size).gradient_accumulation_steps / config.gradient_accumulation_steps
    assert evidence.memory is not None
    return Proposal(
        tip="micro_batch_up",
        goal="speed",
        title=_batch.title(config, size),
        why=text(
            "tip.micro_batch_up.why",
            "The peak holds {peak} of the {capacity} that this process can have, and the card is idle for part of each step.",
            peak=format_bytes(evidence.memory.peak_reserved_bytes),
            capacity=format_bytes(capacity),
        ),
        change=_batch.change_to(config, size),
        memory=evidence.memory_after(micro_batch_size=size),
        speed=SpeedEffect(passes, 1.0, text("tip.micro_batch_up.source", "at best each pass takes as long as before")),
        costs=_batch.costs(evidence),
        changes_arithmetic=_batch.changes_arithmetic(evidence),
        safe=not _batch.changes_arithmetic(evidence),
        weight=0.3,
    )


def _is_idle(evidence: Evidence, capacity: int) -> bool:
    memory, steps = evidence.memory, evidence.steps
    if memory is None or steps is None or memory.peak_reserved_bytes >= _IDLE_MEMORY * capacity:
        return False
    busy = steps.gpu_utilization_percent
    return evidence.simulated if busy is None else busy < _IDLE_GPU


TIP = Tip(propose)
