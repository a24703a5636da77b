"""A larger micro-batch, accumulated less often, where memory lies idle and the card is not busy."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips import _batch
from bigmodel_lab.tips._words import sentences
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_bytes

_IDLE_MEMORY, _IDLE_GPU = 0.7, 70.0
"""Below these shares of memory and utilization the batch is small for the card: rule ``BatchSize`` of SageMaker Debugger
(awslabs/sagemaker-debugger-rulesconfig, 95th percentiles below 70 %)."""
_ROOM = 0.9
"""The larger batch stays below this share: above it memory counts as short, and another tip would take it back."""


def propose(evidence: Evidence) -> Proposal | None:
    """Only as far as the effective batch goes: beyond it the optimizer would see other samples."""
    config, capacity = evidence.config, evidence.capacity_bytes
    if config.gradient_accumulation_steps == 1 or capacity is None or evidence.mode != "train":
        return None
    if evidence.memory_pressure is not None or not _is_idle(evidence, capacity):
        return None
    largest = _batch.largest(evidence, _ROOM)
    size = _batch.balanced(config, largest) if largest else 0
    if size <= config.micro_batch_size:
        return None
    passes = config.with_micro_batch(size).gradient_accumulation_steps / config.gradient_accumulation_steps
    return Proposal(
        tip="micro_batch_up",
        goal="speed",
        title=_batch.title(config, size),
        why=sentences(_empty(evidence, capacity), _busy(evidence)),
        change=_batch.change_to(config, size),
        memory=evidence.memory_after(micro_batch_size=size),
        speed=SpeedEffect(passes, 1.0, text("tip.micro_batch_up.source", "at best each pass takes as long as before")),
        costs=_batch.costs(evidence),
        changes_arithmetic=_batch.changes_arithmetic(evidence),
        safe=not _batch.changes_arithmetic(evidence),
        weight=0.3,
    )


def _is_idle(evidence: Evidence, capacity: int) -> bool:
    """Memory is left, and nothing says that a larger batch would not be faster; on a simulated card nothing can."""
    memory, steps = evidence.memory, evidence.steps
    if memory is None or steps is None or memory.peak_reserved_bytes >= _IDLE_MEMORY * capacity:
        return False
    if evidence.simulated:
        return True
    measured, now = steps.throughput_by_micro_batch, evidence.config.micro_batch_size
    if now in measured:
        if any(size > now and _batch.is_as_fast(measured, now, size) for size in measured):
            return False  # a larger one has been tried
        if any(size < now and not _batch.is_as_fast(measured, size, now) for size in measured):
            return True  # it has grown so far
    return steps.gpu_utilization_percent is not None and steps.gpu_utilization_percent < _IDLE_GPU


def _empty(evidence: Evidence, capacity: int) -> str:
    assert evidence.memory is not None
    return text(
        "tip.micro_batch_up.why",
        "The peak holds {peak} of the {capacity} that this process can have.",
        peak=format_bytes(evidence.memory.peak_reserved_bytes),
        capacity=format_bytes(capacity),
    )


def _busy(evidence: Evidence) -> str | None:
    busy = None if evidence.steps is None else evidence.steps.gpu_utilization_percent
    if evidence.simulated or busy is None:
        return None
    return text("tip.micro_batch_up.busy", "The card is busy {busy:.0f} % of the time.", busy=busy)


TIP = Tip(propose)
