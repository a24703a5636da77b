"""How loss and accuracy went over the epochs, and how far training and validation lie apart: over-fitting in words."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import Source
from bigmodel_lab.units import format_value

_UNKNOWN = "–"
_ROSE = 1.05  # a validation loss that is above its best by less is noise


@dataclass(frozen=True)
class Gap:
    """Training minus validation at the end of one epoch; NaN where one of both is unknown."""

    epoch: int
    """Which it is, from 1."""
    loss: float
    """Mean loss of the epoch's training steps."""
    validation_loss: float
    """Mean loss of the validation samples."""
    accuracy: float
    """Accuracy of the epoch's training steps, 0 … 1."""
    validation_accuracy: float
    """Accuracy of the validation samples, 0 … 1."""

    @property
    def loss_gap(self) -> float:
        """Training loss minus validation loss: below 0 the model does better on what it has learned."""
        return self.loss - self.validation_loss

    @property
    def accuracy_gap(self) -> float:
        """Training accuracy minus validation accuracy: above 0 the model does better on what it has learned."""
        return self.accuracy - self.validation_accuracy


@dataclass(frozen=True)
class LearningCurves:
    """Loss and accuracy of each epoch, training and validation; NaN where unknown.

    The figures of training are means over the steps of an epoch, taken while the weights changed and with dropout:
    at first they may be worse than those of validation.
    """

    loss: NDArray[np.float64]
    """Training loss, shape (epochs,)."""
    validation_loss: NDArray[np.float64]
    """Validation loss, shape (epochs,)."""
    accuracy: NDArray[np.float64]
    """Training accuracy, 0 … 1, shape (epochs,)."""
    validation_accuracy: NDArray[np.float64]
    """Validation accuracy, 0 … 1, shape (epochs,)."""

    @classmethod
    def of(cls, source: Source) -> LearningCurves:
        """The curves of a run.

        Args:
            source: A live run log or a run file.
        """
        streams = {stream.name: stream.keys for stream in source.streams()}
        names = ("loss", "validation_loss", "accuracy", "validation_accuracy")
        if "epoch" not in streams:
            return cls(*(np.empty(0) for _ in names))
        rows, keys = source.read("epoch").values, streams["epoch"]
        return cls(*(rows[:, keys.index(name)] for name in names))

    @property
    def best(self) -> Gap | None:
        """The epoch with the lowest validation loss; None where nothing was validated."""
        known = ~np.isnan(self.validation_loss)
        return self._gap(int(np.nanargmin(self.validation_loss))) if known.any() else None

    @property
    def last(self) -> Gap | None:
        """The last epoch; None where nothing was validated."""
        return self._gap(len(self.loss) - 1) if self.best else None

    def table(self) -> Table:
        """Training, validation and their difference, at the best and at the last epoch."""
        best, last = self.best, self.last
        columns = [gap for gap in (best, last) if gap is not None]
        names = [text("curves.best", "best epoch ({epoch})"), text("curves.last", "last epoch ({epoch})")]
        if best is not None and last is not None and best.epoch == last.epoch:
            columns, names = columns[-1:], names[-1:]
        heads = ("", *(name.format(epoch=gap.epoch) for name, gap in zip(names, columns, strict=False)))
        rows = [
            (text("curves.loss", "loss, training − validation"), *map(_losses, columns)),
            (text("curves.accuracy", "accuracy, training − validation"), *map(_accuracies, columns)),
        ]
        known = [row for row in rows if any(cell != _UNKNOWN for cell in row[1:])]
        return Table(heads, tuple(known), range(1, len(heads)), text("curves.title", "Over-fitting gap"))

    def verdict(self) -> str:
        """Whether the model over-fits, in one or two sentences with what to do."""
        best, last = self.best, self.last
        if best is None or last is None:
            return text("curves.unknown", "Whether it over-fits is unknown: there are no validation samples.")
        if len(self.loss) == 1:
            return text("curves.one_epoch", "Whether it over-fits cannot be said after one epoch.")
        if best.epoch == last.epoch:
            return text(
                "curves.still_better",
                "No sign of over-fitting: the validation loss was lowest at the last epoch. More epochs may help.",
            )
        if last.validation_loss > _ROSE * best.validation_loss > 0 and last.loss < best.loss:
            risen = last.validation_loss / best.validation_loss - 1
            return text(
                "curves.over_fits",
                "It over-fits: since epoch {epoch} the validation loss has risen by {risen} while the training loss "
                "went on falling. Stop there (early_stopping=3), or use dropout, l2 or augment.",
                epoch=best.epoch,
                risen=format_value(risen, "fraction"),
            )
        return text(
            "curves.level",
            "The validation loss was lowest at epoch {epoch} and has not come back to that since: more epochs will hardly "
            "help.",
            epoch=best.epoch,
        )

    def _gap(self, nth: int) -> Gap:
        columns = (self.loss, self.validation_loss, self.accuracy, self.validation_accuracy)
        return Gap(nth + 1, *(float(column[nth]) for column in columns))


def _losses(gap: Gap) -> str:
    """Both losses and what lies between them."""
    if isnan(gap.loss_gap):
        return _UNKNOWN
    return f"{gap.loss:.4f} − {gap.validation_loss:.4f} = {gap.loss_gap:+.4f}"


def _accuracies(gap: Gap) -> str:
    """Both accuracies and how many percentage points lie between them."""
    if isnan(gap.accuracy_gap):
        return _UNKNOWN
    return text(
        "curves.points",
        "{training:.1f} % − {validation:.1f} % = {points:+.1f} points",
        training=100 * gap.accuracy,
        validation=100 * gap.validation_accuracy,
        points=100 * gap.accuracy_gap,
    )
