"""Reads the evidence off a record alone: of a run that is over, of another process, or of a loop that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from bigmodel_lab.memory.cards import Card, card_at_hand
from bigmodel_lab.runlog import Source
from bigmodel_lab.tips._evidence import (
    accelerator_of,
    column,
    epoch_losses,
    middle,
    platform,
    power_limit,
    step_facts,
)
from bigmodel_lab.tips._facts import LoopFacts, MemoryFacts
from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.optimizers import optimizer_classes

_FIELDS = frozenset(field.name for field in fields(TrainConfig))
_OF_PROCESS = "expandable_segments"
"""The setting that the environment tells, whose loop it may be."""


def evidence_of_record(source: Source) -> Evidence:
    """What a record tells: settings, steps, peaks, and of a loop that is not ours what it has shown of itself.

    The model itself is not at hand, so nothing is predicted.

    Args:
        source: Of any run.
    """
    header = source.header()
    loop = LoopFacts.from_json(header["loop"]) if header.get("loop") else None
    settings = _config_of(header) | _shown(loop)
    validation, train = epoch_losses(source)
    card = card_of(header)
    evidence = Evidence(
        config=TrainConfig(**settings),
        accelerator="cuda" if card is not None else accelerator_of(str(header.get("device") or "cpu")),
        card=card,
        simulated=header["origin"] == "simulated",
        steps=step_facts(source),
        memory=_peaks(source),
        platform=platform(),
        validation_losses=validation,
        train_losses=train,
        power_watts=middle(column(source, "power_watts")),
        power_limit_watts=power_limit(source),
    )
    return evidence if loop is None else _of_loop(evidence, loop, settings)


def card_of(header: Mapping[str, Any]) -> Card | None:
    """The card of a run, real or simulated; None where there is none, or it is unknown.

    Args:
        header: Of the run.
    """
    facts = header.get("virtual_gpu") or header.get("gpu")
    if not facts:
        return None
    return card_at_hand(str(facts["name"]), facts.get("total_bytes"), by_cuda="virtual_gpu" in header)


def _config_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded settings; a loop of one's own may have an optimizer that is not known here."""
    recorded = dict(header.get("config") or {})
    if recorded.get("optimizer") not in optimizer_classes():
        recorded.pop("optimizer", None)
        recorded.pop("optimizer_options", None)
    return {name: value for name, value in recorded.items() if name in _FIELDS}


def _shown(loop: LoopFacts | None) -> dict[str, Any]:
    """Settings that a loop has shown."""
    names = ("micro_batch_size", "gradient_accumulation_steps", "precision")
    return {name: value for name in names if (value := getattr(loop, name, None)) is not None}


def _of_loop(evidence: Evidence, loop: LoopFacts, settings: Mapping[str, Any]) -> Evidence:
    return replace(
        evidence,
        framework=loop.framework,
        mode=loop.mode,
        loader=loop.loader,
        model=loop.model,
        keeps_gradients=loop.keeps_gradients,
        keeps_graph=loop.keeps_graph,
        unknown=_FIELDS - settings.keys() - {_OF_PROCESS},
    )


def _peaks(source: Source) -> MemoryFacts | None:
    allocated, reserved = (column(source, key) for key in ("peak_allocated_bytes", "peak_reserved_bytes"))
    if not len(allocated) or not len(reserved):
        return None
    return MemoryFacts(int(allocated.max()), int(reserved.max()))
