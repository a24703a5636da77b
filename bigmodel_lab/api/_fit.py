"""``fit``: train a documented model, or one's own, and watch it live."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bigmodel_lab.api._live import FailureRecorded
from bigmodel_lab.api._tips import TipDesk
from bigmodel_lab.api._training_run import TrainingRun
from bigmodel_lab.api._virtual_gpu import Place, place_for
from bigmodel_lab.data import DATASETS, Data, load_data
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import MODELS, ModelCard
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training import (
    Checkpoints,
    DeviceChoice,
    EpochObserver,
    LossFunction,
    Recipe,
    TrainConfig,
    Trainer,
)
from bigmodel_lab.training.device_memory import DeviceMemory


def fit(
    model: str | nn.Module,
    data: Any = None,
    *,
    epochs: int | None = None,
    micro_batch_size: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    precision: str | None = None,
    seed: int | None = None,
    max_steps: int | None = None,
    device: str | None = None,
    loss: LossFunction | None = None,
    observers: Sequence[EpochObserver] = (),
    background: bool = False,
    auto: bool = False,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    sample_hz: float = 2.0,
    **settings: Any,
) -> TrainingRun:
    """Train a model with a live dashboard; the cell is busy until it ends, unless ``background``.

    What is left at None is as the model documents it, or for a model of one's own as
    :class:`~bigmodel_lab.training.TrainConfig` has it.

    Args:
        model: Name of a documented model (see :func:`bigmodel_lab.list_models`) or any ``nn.Module`` that maps a
            batch (samples, …) to class scores (samples, classes).
        data: None for what the model is documented with, or its embedded stand-in; the name of a data set; a folder with MNIST's
            IDX files; or arrays: ``(x, y)``, a torch ``Dataset``, a dict of splits.
        epochs: Passes over the training data.
        micro_batch_size: Samples in one forward and backward pass.
        optimizer: Class name in ``torch.optim``, lower case.
        learning_rate: Step width of the optimizer.
        precision: ``"fp32"``, ``"tf32"``, ``"bf16"`` or ``"fp16"``.
        seed: Fixes weights, order and dropout; on a CPU the run repeats to the bit.
        max_steps: Ends the run after this many optimizer steps.
        device: ``"auto"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"``; ``"virtual:T4"`` or ``"virtual:2GiB"``
            computes on the CPU with the memory of such a card simulated, see :func:`bigmodel_lab.virtual_gpu`.
        loss: Maps (output, labels) to the mean loss; None is the cross-entropy.
        observers: Asked after each epoch, e.g. to end the run; see :class:`~bigmodel_lab.training.EpochObserver`.
        background: Train in a thread and return at once; ``run.wait()`` waits for the end.
        auto: Apply tips by itself, those that change no arithmetic and nothing outside the run; each is measured, and
            taken back where it does not help.
        runs_dir: Folder for the run file; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.
        name: Name of the run; None takes the model's.
        sample_hz: Samples of GPU and host a second, 1 … 10.
        settings: Any other field of :class:`~bigmodel_lab.training.TrainConfig`.

    Returns:
        The run, finished or stopped; in the background, still running.

    Raises:
        UnknownNameError: No such model, data set or setting.
        ConfigError: A setting that cannot be used.
        DataError: The data cannot be trained on.
        NonFiniteLossError: The loss became NaN or infinite.
        torch.OutOfMemoryError: The memory of the card does not suffice; the run has failed, its file says so.

    >>> import bigmodel_lab as lab
    >>> run = lab.fit("mlp", epochs=2, seed=1)
    >>> run.status.value, run.last("validation_accuracy") > 0.5
    ('finished', True)
    """
    common = {
        "epochs": epochs,
        "micro_batch_size": micro_batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
        "max_steps": max_steps,
        "device": device,
    }
    given = {key: value for key, value in common.items() if value is not None}
    run = prepare(
        model,
        data,
        {**given, **settings},
        loss=loss,
        observers=observers,
        runs_dir=runs_dir,
        name=name,
        sample_hz=sample_hz,
        auto=auto,
    )
    run.start(background=background)
    return run


async def fit_async(model: str | nn.Module, data: Any = None, **settings: Any) -> TrainingRun:
    """Like :func:`fit`, awaited: ``run = await lab.fit_async("mlp")``. The event loop stays free.

    Args:
        model: As for :func:`fit`.
        data: As for :func:`fit`.
        settings: As for :func:`fit`, without ``background``.

    >>> import asyncio
    >>> import bigmodel_lab as lab
    >>> asyncio.run(lab.fit_async("mlp", max_steps=5))
    <Run mlp: finished, 5 steps>
    """
    run = fit(model, data, background=True, **settings)
    await run.ended()
    return run


def prepare(
    model: str | nn.Module,
    data: Any,
    settings: Mapping[str, Any],
    *,
    loss: LossFunction | None = None,
    observers: Sequence[EpochObserver] = (),
    runs_dir: str | Path | None = None,
    name: str | None = None,
    sample_hz: float = 2.0,
    auto: bool = False,
    trainer: Callable[..., Trainer] = Trainer,
) -> TrainingRun:
    """A run that has not started; everything that can be wrong is found here, before the first step.

    Args:
        model: As for :func:`fit`, like all that is not said here.
        data: As for :func:`fit`.
        settings: Fields of :class:`~bigmodel_lab.training.TrainConfig`.
        loss: As for :func:`fit`.
        observers: As for :func:`fit`.
        runs_dir: As for :func:`fit`.
        name: As for :func:`fit`.
        sample_hz: As for :func:`fit`.
        auto: As for :func:`fit`.
        trainer: What makes the trainer, with the arguments of :class:`~bigmodel_lab.training.Trainer`.
    """
    config = config_for(model, settings)
    place = place_for(config.device, expandable_segments=config.expandable_segments)
    loaded = load_for(model, data, config)
    folder = Path(runs_dir) if runs_dir is not None else None
    log = RunLog.create(name or name_of(model), folder, place.facts, place.origin)
    with FailureRecorded(log):
        kept = Checkpoints(log, _recipe(card_of(model), data, loss), config.checkpoint)
        parts = TrainerParts(config, log, place.choice, loss, kept.observers(observers), place.memory)
        with place.in_use():
            made = make_trainer(model, loaded, parts, trainer)
            place.take(made)
        tips = tips_for(made, place, documented=documented_config(model), auto=auto)
        return TrainingRun(made, log, kept, place=place, tips=tips, sample_hz=sample_hz)


def config_for(model: str | nn.Module, settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of a run: those given, over those that a documented model has.

    Args:
        model: As for :func:`fit`.
        settings: Fields of :class:`~bigmodel_lab.training.TrainConfig`.
    """
    card = card_of(model)
    return TrainConfig.from_settings(settings, card.defaults if card else None)


def documented_config(model: str | nn.Module) -> TrainConfig | None:
    """The settings that a documented model has of itself; None for a module."""
    return config_for(model, {}) if isinstance(model, str) else None


def tips_for(trainer: Trainer, place: Place, *, documented: TrainConfig | None, auto: bool = False) -> TipDesk:
    """Where the tips of a run lie.

    Args:
        trainer: Of the run.
        place: Where it computes.
        documented: The settings that the model is documented with.
        auto: As for :func:`fit`.
    """
    return TipDesk(
        trainer,
        card=place.card,
        simulated=place.gpu is not None,
        others_bytes=place.others_bytes,
        other_cards=place.other_cards,
        documented=documented,
        auto=auto,
    )


def fresh(model: str | nn.Module) -> str | nn.Module:
    """The same model for another run: a copy of a module, so that its own weights and buffers stay as they are."""
    return model if isinstance(model, str) else deepcopy(model)


@dataclass(frozen=True)
class TrainerParts:
    """What a trainer needs besides model and data."""

    config: TrainConfig
    """The settings."""
    log: RunLog
    """Where everything is recorded."""
    device: DeviceChoice
    """Where to compute."""
    loss: LossFunction | None = None
    """The person's own."""
    observers: Sequence[EpochObserver] = ()
    """Asked after each epoch."""
    memory: DeviceMemory | None = None
    """Of the device; None asks PyTorch."""


def make_trainer(
    model: str | nn.Module, data: Data, parts: TrainerParts, kind: Callable[..., Trainer] = Trainer
) -> Trainer:
    """The trainer of a documented model, which is built here, or of a module.

    Args:
        model: As for :func:`fit`.
        data: What :func:`load_for` gave.
        parts: All else.
        kind: What makes it, with the arguments of :class:`~bigmodel_lab.training.Trainer`.
    """
    card = card_of(model)
    return kind(
        build(card, data, parts.config) if card else model,
        data,
        parts.config,
        parts.log,
        device=parts.device,
        loss=parts.loss,
        documented_loss=card.loss if card else None,
        name=name_of(model),
        observers=parts.observers,
        memory=parts.memory,
    )


def load_for(model: str | nn.Module, data: Any, config: TrainConfig) -> Data:
    """The data, in the shape that a documented model takes unless it is built after the data.

    Args:
        model: As for :func:`fit`.
        data: As for :func:`fit`.
        config: Says how to divide what comes undivided.
    """
    card = card_of(model)
    takes = card.takes if card else ()
    return load_data(
        card.data if card and data is None else data,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        seed=config.seed,
        input_shape=card.input_shape if card and not _SHAPES.intersection(takes) else None,
        classes=card.classes if card and "classes" not in takes else None,
    )


def _recipe(card: ModelCard | None, data: Any, loss: LossFunction | None) -> Recipe:
    """How another process makes the same again."""
    named = (card.data if card else "digits") if data is None else data
    if isinstance(named, (str, os.PathLike)):
        path = Path(named).expanduser()
        source = str(named) if named in DATASETS.names() else str(path.absolute())
    else:
        source = None
    return Recipe(card.name if card else None, source, loss is not None)


def build(card: ModelCard, data: Data, config: TrainConfig) -> nn.Module:
    """A documented model, in the sizes that the data asks for."""
    sizes = {key: data.sizes[key] for key in card.takes}
    try:
        return card.create(config.seed, **sizes, **config.model_options)
    except TypeError as error:
        raise ConfigError(
            text(
                "fit.model_options",
                "The model {name} does not take model_options {options}: {error}",
                name=card.name,
                options=dict(config.model_options),
                error=error,
            )
        ) from error


_SHAPES = frozenset({"features", "input_shape", "length", "vocabulary"})


def card_of(model: str | nn.Module) -> ModelCard | None:
    """The card of a documented model; None for a module."""
    if isinstance(model, str):
        return MODELS.get(model)
    if isinstance(model, nn.Module):
        return None
    raise ConfigError(
        text(
            "fit.not_a_model",
            "fit takes the name of a documented model ({names}) or a torch.nn.Module, not {kind}.",
            names=", ".join(MODELS.names()),
            kind=type(model).__name__,
        )
    )


def name_of(model: str | nn.Module) -> str:
    """What a run of this model is called, unless it is given a name."""
    return model if isinstance(model, str) else type(model).__name__
