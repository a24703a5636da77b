"""What every change of the micro-batch shares: its words, its fields, and what it may cost."""

from __future__ import annotations

from typing import Any

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.training import TrainConfig


def change_to(config: TrainConfig, size: int) -> dict[str, Any]:
    """The fields that give another micro-batch and leave the samples of a step as they are.

    >>> change_to(TrainConfig(micro_batch_size=64), 16)["gradient_accumulation_steps"]
    4
    """
    changed = config.with_micro_batch(size)
    names = ("micro_batch_size", "gradient_accumulation_steps", "samples_per_step")
    return {name: getattr(changed, name) for name in names}


def title(config: TrainConfig, size: int) -> str:
    """What the change is called."""
    changed = config.with_micro_batch(size)
    return text(
        "tip.micro_batch.title",
        "Micro-batch {before} → {after}, accumulated {count} times",
        before=config.micro_batch_size,
        after=changed.micro_batch_size,
        count=changed.gradient_accumulation_steps,
    )


def changes_arithmetic(evidence: Evidence) -> bool:
    """Some layer's result depends on who else is in the micro-batch, or on the order in which random numbers are drawn."""
    model = evidence.model
    return model is not None and bool(model.batch_norms or model.random_layers)


def costs(evidence: Evidence) -> tuple[str, ...]:
    """What another micro-batch may cost, a sentence each."""
    model = evidence.model
    sentences = []
    if model is not None and model.batch_norms:
        sentences.append(
            text(
                "tip.micro_batch.batch_norm",
                "Changes the arithmetic: layers of batch normalization ({count}) take their statistics over another "
                "number of samples.",
                count=model.batch_norms,
            )
        )
    if model is not None and model.random_layers:
        sentences.append(
            text(
                "tip.micro_batch.random",
                "Changes the random numbers: layers that draw them ({count}) do so once a micro-batch.",
                count=model.random_layers,
            )
        )
    return tuple(sentences)
