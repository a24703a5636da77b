"""``cross_validate``: the same training on several divisions of the data."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from torch import nn

from bigmodel_lab._table import Table
from bigmodel_lab.api._fit import config_for, fresh, load_for, name_of, prepare
from bigmodel_lab.data import folds_of
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import Status
from bigmodel_lab.training import LossFunction, MeanInterval, mean_interval


@dataclass(frozen=True)
class Fold:
    """One training of a cross-validation, judged by the part that it did not see."""

    number: int
    """Which it was, from 1."""
    loss: float
    """Mean loss of the samples held out, after the last step."""
    accuracy: float | None
    """Their share classified correctly, 0 … 1; None where the task has no classes."""
    samples: int
    """How many were held out."""
    path: Path
    """The run file."""


@dataclass(frozen=True)
class CrossValidation:
    """What the folds came to; prints as a table."""

    name: str
    """What was trained."""
    planned: int
    """Folds that were asked for; there are fewer where a stop was wanted."""
    folds: tuple[Fold, ...]
    """Those that were trained to their end."""

    @property
    def loss(self) -> MeanInterval | None:
        """Mean over the folds with its 95 % interval; None where no fold was finished."""
        return mean_interval([fold.loss for fold in self.folds]) if self.folds else None

    @property
    def accuracy(self) -> MeanInterval | None:
        """Mean over the folds with its 95 % interval; None where there is no accuracy."""
        known = [fold.accuracy for fold in self.folds if fold.accuracy is not None]
        return mean_interval(known) if known else None

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> Table:
        heads = (
            text("folds.fold", "fold"),
            text("folds.samples", "held out"),
            text("folds.loss", "loss"),
            text("folds.accuracy", "accuracy"),
        )
        rows = [
            (f"{fold.number}/{self.planned}", str(fold.samples), _number(fold.loss), _number(fold.accuracy))
            for fold in self.folds
        ]
        mean = (text("folds.mean", "mean"), "", _interval(self.loss), _interval(self.accuracy))
        return Table(heads, (*rows, mean), right={1, 2, 3}, title=self._title())

    def _title(self) -> str:
        return text(
            "folds.title",
            "Cross-validation of {name}: {done} of {planned} folds; mean with 95 % interval (Student's t)",
            name=self.name,
            done=len(self.folds),
            planned=self.planned,
        )


def cross_validate(
    model: str | nn.Module,
    data: Any = None,
    folds: int = 5,
    *,
    loss: LossFunction | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    sample_hz: float = 2.0,
    **settings: Any,
) -> CrossValidation:
    """Train once a fold, each time judged by another part of the training and validation samples.

    The parts do not overlap and hold every class in the same proportion; the test samples stay aside. Every fold
    begins with the same weights and is a run of its own, named for example "mlp fold 1/5". Stop ends the
    cross-validation with the folds that are done.

    Args:
        model: As for :func:`bigmodel_lab.fit`; a module is copied for each fold and itself never trained.
        data: As for :func:`bigmodel_lab.fit`.
        folds: How many parts, from 2.
        loss: As for :func:`bigmodel_lab.fit`.
        runs_dir: Folder for the run files; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.
        name: Name of the runs, without the fold; None takes the model's.
        sample_hz: Samples of GPU and host a second, 1 … 10.
        settings: Fields of :class:`~bigmodel_lab.training.TrainConfig`.

    Raises:
        ConfigError: A number of folds, or a setting, that cannot be used.
        NonFiniteLossError: The loss of a fold became NaN or infinite.

    >>> import bigmodel_lab as lab
    >>> result = lab.cross_validate("mlp", folds=2, epochs=1)
    >>> len(result.folds), result.accuracy.mean > 0.5
    (2, True)
    """
    config = config_for(model, settings)
    name = name or name_of(model)
    parts = folds_of(load_for(model, data, config), folds, config.seed)
    done: list[Fold] = []
    for number, part in enumerate(parts, start=1):
        run = prepare(
            fresh(model),
            part,
            settings,
            loss=loss,
            runs_dir=runs_dir,
            name=text("folds.run", "{name} fold {number}/{folds}", name=name, number=number, folds=folds),
            sample_hz=sample_hz,
        )
        run.start()
        if run.status is Status.STOPPED:
            break
        judged = run.evaluate("validation")
        done.append(Fold(number, judged.loss, judged.accuracy, judged.samples, run.path))
    return CrossValidation(name, folds, tuple(done))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _interval(interval: MeanInterval | None) -> str:
    if interval is None or isnan(interval.half_width):
        return _number(interval.mean if interval else None)
    return f"{interval.mean:.4f} ± {interval.half_width:.4f}"
