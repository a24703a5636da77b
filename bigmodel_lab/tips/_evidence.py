"""Reads the evidence off a run: its log, its trainer, and what is around it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigmodel_lab.estimate._of_run import estimate_run, resident_bytes
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.runlog import Event, Source
from bigmodel_lab.tips._model import model_facts
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips.base import (
    Evidence,
    MemoryFacts,
    Platform,
    StepFacts,
)
from bigmodel_lab.training import TrainConfig, Trainer
from bigmodel_lab.training.device_memory import current_alloc_conf
from bigmodel_lab.training.recovery import OutOfMemoryFacts

_LATEST = 200
"""Steps that say how it goes now."""
_PACKAGES = ("torchao", "bitsandbytes", "triton")


def evidence_of(
    trainer: Trainer,
    source: Source,
    *,
    card: Card | None,
    simulated: bool = False,
    others_bytes: int = 0,
    documented: TrainConfig | None = None,
    full: OutOfMemoryFacts | None = None,
    around: Platform | None = None,
) -> Evidence:
    """The evidence of a run of our own loop, between two steps.

    Call it on a thread that charges no simulated card: the step is traced.

    Args:
        trainer: Of the run.
        source: Its log.
        card: Where it runs; None is unknown, or no card at all.
        simulated: The card is simulated.
        others_bytes: What other processes hold on the card.
        documented: The settings that the model is documented with.
        full: The request that has just failed; None when none has.
        around: Software and machine; None finds out.

    Raises:
        TraceError: The step cannot be followed without data.
    """
    config = trainer.config
    measured = None if full is not None else memory_facts(trainer)
    predictor = None
    if card is not None:
        held = resident_bytes(trainer.data)
        predictor = Predictor(estimate_run(trainer, card), config, resident_bytes=held, measured=measured)
    losses = epoch_losses(source)
    return Evidence(
        config=config,
        accelerator="cuda" if card is not None else accelerator_of(trainer.device),
        card=card,
        simulated=simulated,
        others_bytes=others_bytes,
        predictor=predictor,
        model=model_facts(trainer.model, compiled=config.compile),
        steps=step_facts(source),
        memory=measured,
        out_of_memory=full,
        platform=around or platform(),
        steps_left=trainer.total_steps - trainer.steps_made,
        documented=documented,
        validation_losses=losses[0],
        train_losses=losses[1],
        power_watts=middle(column(source, "power_watts")),
        power_limit_watts=power_limit(source),
    )


def memory_facts(trainer: Trainer) -> MemoryFacts | None:
    """The peaks since they were last reset; None before the first step, and where nobody counts."""
    peaks = trainer.memory.peaks() if trainer.steps_made else None
    if peaks is None or not peaks.allocated_bytes:
        return None
    return MemoryFacts(peaks.allocated_bytes, peaks.reserved_bytes, trainer.memory.alloc_retries())


def step_facts(source: Source) -> StepFacts | None:
    """The latest steps, from the log; None before any."""
    seconds = column(source, "step_seconds")
    if not len(seconds):
        return None
    known = seconds[-_LATEST:]
    busy = column(source, "gpu_utilization_percent")
    waits = column(source, "data_wait_share")
    return StepFacts(
        steps=len(known),
        seconds=float(np.median(known)),
        samples_per_second=middle(column(source, "samples_per_second")[-_LATEST:]),
        data_wait_share=middle(waits[-_LATEST:]),
        gpu_utilization_percent=float(np.percentile(busy, 95)) if len(busy) else None,
        throughput_by_micro_batch=throughputs(source),
    )


def throughputs(source: Source) -> dict[int, float]:
    """Median samples a second at each micro-batch size that the run has had; empty where it never changed."""
    changes = [event for event in source.events() if event.kind == "changed"]
    borders = [(event.step, sizes) for event in changes if (sizes := _sizes(event)) is not None]
    stream = next((s for s in source.streams() if s.name == "step"), None)
    if not borders or stream is None or "samples_per_second" not in stream.keys:
        return {}
    block = source.read("step")
    speed = block.values[:, stream.keys.index("samples_per_second")]
    found: dict[int, list[float]] = {}
    first = 0
    for step, (was, _) in borders:
        found.setdefault(was, []).extend(_known(speed[(block.step >= first) & (block.step < step)]))
        first = step
    found.setdefault(borders[-1][1][1], []).extend(_known(speed[block.step >= first]))
    return {size: median(values) for size, values in found.items() if values}


def epoch_losses(source: Source) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Validation and train loss of each epoch, where both are known."""
    stream = next((s for s in source.streams() if s.name == "epoch"), None)
    if stream is None or not {"validation_loss", "loss"} <= set(stream.keys):
        return (), ()
    values = source.read("epoch").values
    both = values[:, [stream.keys.index("validation_loss"), stream.keys.index("loss")]]
    both = both[~np.isnan(both).any(axis=1)]
    return tuple(map(float, both[:, 0])), tuple(map(float, both[:, 1]))


def power_limit(source: Source) -> float | None:
    """What the card of a run may draw, watts; None is unknown."""
    facts = source.header().get("gpu") or {}
    return facts.get("power_limit_watts")


def column(source: Source, key: str) -> NDArray[np.float64]:
    """Every known value of a metric, in order; empty where the run has none."""
    for stream in source.streams():
        if key in stream.keys and stream.name != "epoch":
            values: NDArray[np.float64] = source.read(stream.name).values[:, stream.keys.index(key)]
            return values[~np.isnan(values)]
    return np.empty(0)


def platform(*, others: Sequence[Any] = (), in_notebook: bool = False) -> Platform:
    """Software and machine of this process.

    Args:
        others: Other cards that are free, as :class:`OtherCard`.
        in_notebook: The run is shown in a notebook.
    """
    major, minor = torch.__version__.split(".")[:2]
    return Platform(
        torch=(int(major), int(minor)),
        system=sys.platform,
        packages=frozenset(name for name in _PACKAGES if find_spec(name) is not None),
        processors=_processors(),
        host_free_bytes=_host_free(),
        other_cards=tuple(others),
        alloc_conf=current_alloc_conf(),
        in_notebook=in_notebook,
    )


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _host_free() -> int | None:
    from bigmodel_lab.samplers import SAMPLERS

    free = SAMPLERS.get("host")(None).sample().values["host_available_bytes"]
    return None if free is None else int(free)


def accelerator_of(device: str) -> Any:
    """The kind of a device, as in :attr:`Evidence.accelerator`."""
    return torch.device(device).type


def middle(values: NDArray[np.float64]) -> float | None:
    """Median; None of no values."""
    return float(np.median(values)) if len(values) else None


def _known(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in values if not np.isnan(value)]


def _sizes(event: Event) -> tuple[int, int] | None:
    was, now = (event.data.get(key) for key in ("was", "now"))
    if isinstance(was, Mapping) and isinstance(now, Mapping) and "micro_batch_size" in was:
        return int(was["micro_batch_size"]), int(now["micro_batch_size"])
    return None
