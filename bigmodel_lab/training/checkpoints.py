"""Keeping checkpoints while a run goes on: the best one, the last one, one on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from math import inf
from pathlib import Path
from typing import Any

import torch

from bigmodel_lab.errors import MissingPackageError, RunFileError
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training.checkpoint import (
    Checkpoint,
    checkpoints_folder,
    find_checkpoint,
    need_safetensors,
    put_weights,
    write_checkpoint,
)
from bigmodel_lab.training.observers import EpochEnd
from bigmodel_lab.training.recorder import EPOCH_KEYS
from bigmodel_lab.training.trainer import EpochObserver, Trainer


@dataclass(frozen=True)
class Recipe:
    """How model and data of a run were made, so that another process can make them again."""

    model: str | None
    """Name of the documented model; None for a module of the person's own."""
    data: str | None
    """Name or path of the data; None where it was handed over in memory."""
    own_loss: bool
    """The person gave a loss of their own."""


class Checkpoints:
    """Writes the checkpoints of one run, into a folder beside its file.

    As an observer it keeps what ``config.checkpoint`` asks for. A checkpoint that cannot be written is an event of
    the run (``checkpoint_failed``), and the training goes on.
    """

    def __init__(self, log: RunLog, recipe: Recipe, keep: str) -> None:
        """Args: ``keep`` is ``"off"``, ``"best"`` or ``"every_epoch"``, as in :class:`TrainConfig`.

        Raises:
            MissingPackageError: Something is to be kept, and safetensors is not installed.
        """
        self.folder = checkpoints_folder(log.path)
        """Where they lie; made with the first one."""
        self._log, self._recipe, self._keep = log, recipe, keep
        self._best = self._best_so_far()
        if keep != "off":
            need_safetensors()

    def observers(self, others: Sequence[EpochObserver]) -> tuple[EpochObserver, ...]:
        """These observers, and this one where something is kept without being asked for."""
        return (*others, *([self] if self._keep != "off" else []))

    def attach(self, trainer: Trainer, log: RunLog) -> None:
        """From now on the command ``checkpoint`` is obeyed in this log: it writes ``last``."""
        self._log = log
        log.mailbox.answers["checkpoint"] = lambda _command: self._keep_now(trainer, "last")

    def epoch_ended(self, trainer: Trainer, end: EpochEnd) -> str | None:
        """Keep what is asked for; never a reason to end."""
        loss = self._loss(trainer, end)
        measured = {"validation_loss": end.validation_loss, "validation_accuracy": end.validation_accuracy}
        if loss is not None and loss < self._best:
            self._best = loss
            self._keep_now(trainer, "best", judged_loss=loss, **measured)
        if self._keep == "every_epoch":
            self._keep_now(trainer, "last", judged_loss=loss, **measured)
        return None

    def stopped(self, trainer: Trainer) -> None:
        """The run was stopped before its end: what is kept anyway gets its last state too."""
        if self._keep != "off":
            self._keep_now(trainer, "last")

    def write(self, trainer: Trainer, name: str, **measured: float | None) -> Checkpoint:
        """Write a checkpoint; call it while no step is running.

        Args:
            trainer: Whose state it is.
            name: ``"best"`` or ``"last"``.
            measured: What is known of its losses.

        Raises:
            OSError: It cannot be written, e.g. as the disk is full.
            MissingPackageError: safetensors is not installed.
        """
        state = {**trainer.state(), "config": asdict(trainer.config)}
        facts = {**self._facts(trainer), **measured}
        written = write_checkpoint(self.folder / name, state, facts)
        self._log.event("checkpoint", checkpoint=name, step=facts["step"], epoch=facts["epoch"], **measured)
        return written

    def _keep_now(self, trainer: Trainer, name: str, **measured: float | None) -> None:
        """Write a checkpoint; where that fails, the run's log says so and the training goes on."""
        try:
            self.write(trainer, name, **measured)
        except (OSError, MissingPackageError) as error:
            self._log.event("checkpoint_failed", checkpoint=name, reason=str(error))

    def _facts(self, trainer: Trainer) -> dict[str, Any]:
        header = self._log.header()
        return {
            "run_id": header["run_id"],
            "name": header["name"],
            "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "step": trainer.steps_made,
            "epoch": trainer.steps_made // trainer.steps_per_epoch,
            "steps_per_epoch": trainer.steps_per_epoch,
            "model": header["model"],
            "recipe": asdict(self._recipe),
            "data": trainer.data.facts,
            "config": trainer.config.facts,
            "torch": torch.__version__,
        }

    def _loss(self, trainer: Trainer, end: EpochEnd) -> float | None:
        """What the best is judged by: the validation loss, without validation samples the mean loss of the steps.

        None where the validation loss is no number: the two kinds of loss do not compare.
        """
        if len(trainer.data.validation):
            return end.validation_loss
        trainer.state()  # waits for the device, so that the epoch's row is there
        row = self._log.read("epoch", self._log.count("epoch") - 1)
        return float(row.values[-1, EPOCH_KEYS.index("loss")])

    def _best_so_far(self) -> float:
        """The loss of the best checkpoint that an earlier session of this run left."""
        best: Path = self.folder / "best"
        try:
            return float(find_checkpoint(best).facts["judged_loss"])
        except RunFileError:
            return inf


def restore(trainer: Trainer, checkpoint: Checkpoint, saved: Mapping[str, Any]) -> None:
    """Put a trainer of the same model, data and settings where the checkpoint stood.

    On another kind of device what only that one has (its random numbers, its loss scale) begins anew.

    Args:
        trainer: One that has made no step.
        checkpoint: Where the weights lie.
        saved: What its ``training()`` gave.

    Raises:
        ConfigError: The weights are not those of this model.
        RunFileError: The weights are missing or damaged.
    """
    fresh = trainer.state()
    weights = {**checkpoint.weights(), **saved["model"]}
    put_weights(trainer.model, weights, checkpoint.folder)
    parts = {part: _suited(saved[part], fresh[part]) for part in ("arithmetic", "randomness")}
    trainer.load_state({**saved, **parts, "model": weights})


def _suited(saved: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    return {key: saved.get(key, value) for key, value in fresh.items()}
