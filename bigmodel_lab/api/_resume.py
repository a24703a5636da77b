"""``resume`` and ``load_weights``: go on from a checkpoint, also in another process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from bigmodel_lab.api._fit import TrainerParts, documented_config, load_for, make_trainer, tips_for
from bigmodel_lab.api._run import Run
from bigmodel_lab.api._training_run import TrainingRun
from bigmodel_lab.api._virtual_gpu import place_for
from bigmodel_lab.data import Data
from bigmodel_lab.errors import ConfigError, DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunLog, RunReader, Status
from bigmodel_lab.training import (
    Checkpoint,
    Checkpoints,
    EpochObserver,
    LossFunction,
    Recipe,
    TrainConfig,
    find_checkpoint,
    put_weights,
    read_weights,
    restore,
)

_SAME_DATA = ("samples", "classes", "task", "sha256")


def resume(
    run: str | Path | Run,
    *,
    model: nn.Module | None = None,
    data: Any = None,
    which: str | None = None,
    epochs: int | None = None,
    max_steps: int | None = None,
    device: str | None = None,
    loss: LossFunction | None = None,
    observers: Sequence[EpochObserver] = (),
    background: bool = False,
    sample_hz: float = 2.0,
) -> TrainingRun:
    """Go on from a checkpoint, in this or another process, as if the run had never ended.

    On a CPU every bit is as in a run that was not interrupted, as long as versions of PyTorch and settings are the
    same. The new steps go into the same run file; where that is gone, into a new one beside the checkpoints. Steps
    that the run had made behind the checkpoint stay in the file, and are then there twice.

    Args:
        run: A run, its file, or the folder of a checkpoint.
        model: For a run of a module of one's own: one of the same class, whose weights are replaced. A documented
            model is built again by itself.
        data: The same data as before; None where it came by name or path.
        which: ``"best"`` or ``"last"``; None takes the one that has made the most steps.
        epochs: New number of epochs, those already made included; None as before.
        max_steps: New limit of optimizer steps, those already made included; None as before.
        device: Where to compute now; None as before.
        loss: The same loss as before, where it was one of one's own.
        observers: Asked after each epoch.
        background: Train in a thread and return at once.
        sample_hz: Samples of GPU and host a second, 1 … 10.

    Raises:
        RunFileError: There is no checkpoint, it is damaged, or the run is still being written.
        ConfigError: No step is left; or model or loss of one's own is missing, or another one.
        DataError: The data is missing, or other data than before.

    >>> import bigmodel_lab as lab
    >>> run = lab.fit("mlp", epochs=1, checkpoint="every_epoch")
    >>> lab.resume(run.path, epochs=2).header["epochs"]
    2
    """
    checkpoint = find_checkpoint(run.path if isinstance(run, Run) else run, which)
    recipe = Recipe(**checkpoint.facts["recipe"])
    named = _model(recipe, model)
    saved = checkpoint.training()
    changed = {"epochs": epochs, "max_steps": max_steps, "device": device}
    config = TrainConfig(**{**saved["config"], **{key: new for key, new in changed.items() if new is not None}})
    _check_steps_left(checkpoint, config)
    _check_loss(recipe, loss)
    loaded = load_for(named, _source(recipe, data), config)
    _check_same(checkpoint, loaded)
    place = place_for(config.device, expandable_segments=config.expandable_segments)
    with _going_on(checkpoint) as log:
        kept = Checkpoints(log, recipe, config.checkpoint)
        parts = TrainerParts(config, log, place.choice, loss, kept.observers(observers), place.memory)
        if place.gpu is not None:
            log.update_header(origin=place.origin, **place.facts)
        with place.in_use():
            trainer = make_trainer(named, loaded, parts)
            restore(trainer, checkpoint, saved)
            place.take(trainer)
        log.event("resumed_from", checkpoint=checkpoint.folder.name, step=checkpoint.step)
    tips = tips_for(trainer, place, documented=documented_config(named))
    going = TrainingRun(trainer, log, kept, place=place, tips=tips, sample_hz=sample_hz)
    going.start(background=background)
    return going


def load_weights(model: nn.Module, path: str | Path | Run, which: str | None = None) -> nn.Module:
    """Put the weights of a checkpoint into a model, and nothing else; returns the model.

    Args:
        model: One of the same class and sizes.
        path: A run, its file, the folder of a checkpoint, or any ``.safetensors`` file.
        which: ``"best"`` or ``"last"``; None takes the one that has made the most steps.

    Raises:
        RunFileError: There is no such file, or it is damaged.
        ConfigError: The weights are not those of such a model, or it is none.

    >>> import bigmodel_lab as lab
    >>> run = lab.fit("mlp", epochs=1, checkpoint="best")
    >>> model = lab.load_weights(type(run.model)(), run.path)
    >>> bool((model.output.weight == run.model.output.weight).all())
    True
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(
            text(
                "load_weights.not_a_model",
                "load_weights takes a torch.nn.Module to put the weights into, not {kind}. Train one on with "
                "lab.resume, or build it first.",
                kind=type(model).__name__,
            )
        )
    place = path.path if isinstance(path, Run) else Path(path).expanduser()
    single = place.suffix == ".safetensors"
    put_weights(model, read_weights(place) if single else find_checkpoint(place, which).weights(), place)
    return model


def _model(recipe: Recipe, given: nn.Module | None) -> str | nn.Module:
    if recipe.model is not None and given is not None:
        raise ConfigError(
            text(
                "resume.documented",
                "This run trains the documented model {name!r}, which is built again by itself: leave model out.",
                name=recipe.model,
            )
        )
    if recipe.model is None and given is None:
        raise ConfigError(
            text(
                "resume.own_model",
                "This run trains a model of your own, which a checkpoint cannot rebuild: give one of the same class "
                "and sizes, lab.resume(…, model=MyModel()).",
            )
        )
    return given if recipe.model is None else recipe.model  # type: ignore[return-value]


def _source(recipe: Recipe, given: Any) -> Any:
    if given is not None or recipe.data is not None:
        return recipe.data if given is None else given
    raise DataError(
        text(
            "resume.own_data",
            "This run trains on data that was in memory, which a checkpoint does not hold: give the same again, "
            "lab.resume(…, data=…).",
        )
    )


def _check_loss(recipe: Recipe, given: LossFunction | None) -> None:
    if recipe.own_loss and given is None:
        raise ConfigError(
            text("resume.own_loss", "This run has a loss of your own: give the same again, lab.resume(…, loss=…).")
        )


def _check_steps_left(checkpoint: Checkpoint, config: TrainConfig) -> None:
    planned = config.epochs * int(checkpoint.facts["steps_per_epoch"])
    if checkpoint.step >= min(planned, config.max_steps or planned):
        raise ConfigError(
            text(
                "resume.no_step_left",
                "The checkpoint {folder} has made {steps} optimizer steps, all that epochs={epochs} and "
                "max_steps={most} allow. Give more of them: lab.resume(…, epochs=…).",
                folder=checkpoint.folder,
                steps=checkpoint.step,
                epochs=config.epochs,
                most=config.max_steps,
            )
        )


def _check_same(checkpoint: Checkpoint, data: Data) -> None:
    before, now = ({key: facts[key] for key in _SAME_DATA} for facts in (checkpoint.facts["data"], data.facts))
    if before != now:
        raise DataError(
            text(
                "resume.other_data",
                "This is not the data that the run was trained on: it had {before}, this has {now}.",
                before=_differing(before, now),
                now=_differing(now, before),
            )
        )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in one.items() if value != other[key])


@contextmanager
def _going_on(checkpoint: Checkpoint) -> Iterator[RunLog]:
    """The log to go on with; what goes wrong in the block leaves the run ended as it was."""
    file = checkpoint.run_file
    if file.exists():
        before = RunReader(file).status()
        log = RunLog.reopen(file)
    else:
        before = Status.STOPPED
        facts = checkpoint.facts
        log = RunLog.create(str(facts["name"]), file.parent, {"resumed_from": facts["run_id"]})
    with ExitStack() as undo:
        undo.callback(log.close, Status.STOPPED if before is Status.LOST else before)
        yield log
        undo.pop_all()
