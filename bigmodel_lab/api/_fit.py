"""``fit``: train a documented model, or one's own, and watch it live."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import nn

from bigmodel_lab.api._live import FailureRecorded
from bigmodel_lab.api._training_run import TrainingRun
from bigmodel_lab.data import Data, load_data
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import MODELS, ModelCard
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training import DeviceChoice, LossFunction, TrainConfig, Trainer, choose_device


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
    background: bool = False,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    sample_hz: float = 2.0,
    **settings: Any,
) -> TrainingRun:
    """Train a model with a live dashboard; the cell is busy until it ends, unless ``background``.

    What is left at None is as the model documents it, or for a model of one's own as
    :class:`~bigmodel_lab.training.TrainConfig` has it.

    Args:
        model: Name of a documented model (see :func:`list_models`) or any ``nn.Module`` that maps a
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
        device: ``"auto"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"``.
        loss: Maps (output, labels) to the mean loss; None is the cross-entropy.
        background: Train in a thread and return at once; ``run.wait()`` waits for the end.
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
    card = _card(model)
    config = TrainConfig.from_settings({**given, **settings}, card.defaults if card else None)
    trainer, log, choice = _prepare(model, card, data, config, loss, name or _name(model), runs_dir)
    run = TrainingRun(trainer, log, gpu_uuid=choice.gpu_uuid, sample_hz=sample_hz)
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


def list_models() -> tuple[str, ...]:
    """Names of the documented models, for :func:`fit`.

    >>> import bigmodel_lab as lab
    >>> "simple_cnn" in lab.list_models()
    True
    """
    return MODELS.names()


def _prepare(  # noqa: PLR0917 (one caller, in this order)
    model: str | nn.Module,
    card: ModelCard | None,
    data: Any,
    config: TrainConfig,
    loss: LossFunction | None,
    name: str,
    runs_dir: str | Path | None,
) -> tuple[Trainer, RunLog, DeviceChoice]:
    """Everything that can be wrong is found here, before the first step."""
    choice = choose_device(config.device)
    loaded = _load(data, card, config)
    log = RunLog.create(name, folder=Path(runs_dir) if runs_dir is not None else None)
    with FailureRecorded(log):
        module = _build(card, loaded, config) if card else cast("nn.Module", model)
        trainer = Trainer(
            module,
            loaded,
            config,
            log,
            device=choice,
            loss=loss,
            documented_loss=card.loss if card else None,
            name=_name(model),
        )
        return trainer, log, choice


def _load(data: Any, card: ModelCard | None, config: TrainConfig) -> Data:
    """The data, in the shape that a documented model takes unless it is built after the data."""
    takes = card.takes if card else ()
    return load_data(
        card.data if card and data is None else data,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        seed=config.seed,
        input_shape=card.input_shape if card and not _SHAPES.intersection(takes) else None,
        classes=card.classes if card and "classes" not in takes else None,
    )


def _build(card: ModelCard, data: Data, config: TrainConfig) -> nn.Module:
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


def _card(model: str | nn.Module) -> ModelCard | None:
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


def _name(model: str | nn.Module) -> str:
    return model if isinstance(model, str) else type(model).__name__
