"""A smaller micro-batch, accumulated more often: fewer activations, the same optimizer step."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips import _batch
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip

_MORE_PASSES = 2


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short: the largest micro-batch that fits, or half where nothing can be predicted."""
    config, full = evidence.config, evidence.out_of_memory
    short = evidence.memory_pressure
    if short is None or evidence.mode != "train" or (full is not None and full.phase == "optimizer"):
        return None  # by the time of the optimizer the batch has left
    size = _size(evidence)
    if not 0 < size < config.micro_batch_size:
        return None
    size = _that_fits(evidence, _batch.balanced(config, size))
    passes = config.with_micro_batch(size).gradient_accumulation_steps / config.gradient_accumulation_steps
    return Proposal(
        tip="micro_batch_down",
        goal="memory",
        title=_batch.title(config, size),
        why=text(
            "tip.micro_batch_down.why",
            "{short} Activations grow with the micro-batch; each optimizer step still sees {samples} samples.",
            short=short,
            samples=config.effective_batch_size,
        ),
        change=_batch.change_to(config, size),
        memory=evidence.memory_after(micro_batch_size=size),
        speed=SpeedEffect(
            1.0, passes, text("tip.micro_batch_down.source", "at worst each pass takes as long as before")
        ),
        costs=_batch.costs(evidence),
        changes_arithmetic=_batch.changes_arithmetic(evidence),
        safe=not _batch.changes_arithmetic(evidence),
        weight=0.9,
    )


def _that_fits(evidence: Evidence, size: int) -> int:
    """One or two passes more where a smaller size leaves larger gaps than the largest that fits, so that it does not."""
    whole = evidence.config.effective_batch_size
    for _ in range(_MORE_PASSES):
        if evidence.would_fit(**_batch.change_to(evidence.config, size)) is not False or size == 1:
            break
        size = -(-whole // (-(-whole // size) + 1))
    return size


def _size(evidence: Evidence) -> int:
    if evidence.predictor is None or evidence.capacity_bytes is None:
        return evidence.config.micro_batch_size // 2
    largest = _batch.largest(evidence)
    if largest is None:
        return 0
    if evidence.out_of_memory is None:
        return largest
    # What ran out was predicted to fit: the prediction was wrong, so take less than it says.
    return largest if largest < evidence.config.micro_batch_size else evidence.config.micro_batch_size // 2


TIP = Tip(propose)
