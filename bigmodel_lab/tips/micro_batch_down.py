"""A smaller micro-batch, accumulated more often: fewer activations, the same optimizer step."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short: the largest micro-batch that fits, or half where nothing can be predicted."""
    config = evidence.config
    short = evidence.memory_pressure
    if short is None or config.micro_batch_size == 1 or evidence.mode != "train":
        return None
    if evidence.out_of_memory is not None and evidence.out_of_memory.phase == "optimizer":
        return None  # the batch has left by then
    size = _size(evidence)
    if not 0 < size < config.micro_batch_size:
        return None
    changed = config.with_micro_batch(size)
    return Proposal(
        tip="micro_batch_down",
        goal="memory",
        title=text(
            "tip.micro_batch_down.title",
            "Micro-batch {before} → {after}, accumulated {count} times",
            before=config.micro_batch_size,
            after=changed.micro_batch_size,
            count=changed.gradient_accumulation_steps,
        ),
        why=text(
            "tip.micro_batch_down.why",
            "{short} Activations grow with the micro-batch; each optimizer step still sees {samples} samples.",
            short=short,
            samples=config.effective_batch_size,
        ),
        change={
            "micro_batch_size": changed.micro_batch_size,
            "gradient_accumulation_steps": changed.gradient_accumulation_steps,
            "samples_per_step": changed.samples_per_step,
        },
        memory=evidence.memory_after(micro_batch_size=size),
        speed=SpeedEffect(
            1.0,
            changed.gradient_accumulation_steps / config.gradient_accumulation_steps,
            text("tip.micro_batch_down.source", "at worst each pass takes as long as before"),
        ),
        costs=_costs(evidence),
        changes_arithmetic=_statistics(evidence) > 0,
        safe=not _statistics(evidence),
        weight=0.9,
    )


def _size(evidence: Evidence) -> int:
    capacity = evidence.capacity_bytes
    if evidence.predictor is None or capacity is None:
        return evidence.config.micro_batch_size // 2
    return evidence.predictor.largest_micro_batch(capacity)


def _statistics(evidence: Evidence) -> int:
    """Layers whose result depends on who else is in the micro-batch, or on the order in which random numbers are drawn."""
    model = evidence.model
    return 0 if model is None else model.batch_norms + model.random_layers


def _costs(evidence: Evidence) -> tuple[str, ...]:
    model = evidence.model
    sentences = []
    if model is not None and model.batch_norms:
        sentences.append(
            text(
                "tip.micro_batch.batch_norm",
                "Changes the arithmetic: {count} layers of batch normalization take their statistics over fewer samples.",
                count=model.batch_norms,
            )
        )
    if model is not None and model.random_layers:
        sentences.append(
            text(
                "tip.micro_batch.random",
                "Changes the random numbers: {count} layers draw them once a micro-batch.",
                count=model.random_layers,
            )
        )
    return tuple(sentences)


TIP = Tip(propose)
