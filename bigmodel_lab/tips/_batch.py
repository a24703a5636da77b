"""What every change of the micro-batch shares: its words, its fields, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.changing import BATCH_FIELDS

_PLATEAU = 0.05
"""A gain below this is none: ``METRIC_PERCENT_DIFF_CONST`` of DeepSpeed's autotuning (0.19)."""


def is_as_fast(measured: Mapping[int, float], smaller: int, larger: int) -> bool:
    """The smaller of two measured sizes has the throughput of the larger one, or nearly.

    >>> is_as_fast({32: 98.0, 64: 100.0}, 32, 64), is_as_fast({32: 80.0, 64: 100.0}, 32, 64)
    (True, False)
    """
    return measured[smaller] >= (1 - _PLATEAU) * measured[larger]


def largest(evidence: Evidence, share: float = 1.0) -> int | None:
    """The largest micro-batch that runs in this share of the memory; None where that cannot be found out.

    Args:
        evidence: With a predictor and a card, or None comes back.
        share: Of what the process can have, above 0, to 1.
    """
    if evidence.predictor is None or evidence.capacity_bytes is None:
        return None
    try:
        return evidence.predictor.largest_micro_batch(int(share * evidence.capacity_bytes))
    except (BigModelLabError, RuntimeError):  # the model takes no other size: one is written into its forward pass
        return None


def change_to(config: TrainConfig, size: int) -> dict[str, Any]:
    """The fields that give another micro-batch and leave the samples of a step as they are.

    >>> change_to(TrainConfig(micro_batch_size=64), 16)["gradient_accumulation_steps"]
    4
    """
    changed = config.with_micro_batch(size)
    return {name: getattr(changed, name) for name in BATCH_FIELDS}


def balanced(config: TrainConfig, size: int) -> int:
    """A size with as many passes and no small rest: 8 samples go as 4 and 4, not as 6 and 2.

    >>> balanced(TrainConfig(micro_batch_size=8), 6)
    4
    """
    whole = config.effective_batch_size
    return -(-whole // -(-whole // min(size, whole)))


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
