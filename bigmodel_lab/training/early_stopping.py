"""Early stopping: a run ends when more epochs no longer make the validation loss smaller.

Source: D0 (000_7729297fffeb390e), section 9.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.i18n import text
from bigmodel_lab.training.observers import EpochEnd


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a run after some epochs without a lower validation loss.

    >>> print(EarlyStopping(patience=2).epoch_ended(None, EpochEnd(5, 500, 0.4, None, best_epoch=3)))
    The validation loss was lowest after epoch 3; epochs since then: 2.
    """

    patience: int
    """Epochs without a lower validation loss after which the run ends, from 1."""

    def epoch_ended(self, trainer: object, end: EpochEnd) -> str | None:
        """Why the run shall end now; None to go on."""
        del trainer  # all that counts is in the end of the epoch
        if end.best_epoch is None:
            return self._never_known() if end.epoch >= self.patience else None
        waited = end.epoch - end.best_epoch
        if waited < self.patience:
            return None
        return text(
            "early_stopping.reason",
            "The validation loss was lowest after epoch {best}; epochs since then: {waited}.",
            waited=waited,
            best=end.best_epoch,
        )

    def _never_known(self) -> str:
        return text("early_stopping.unknown", "The validation loss was not a number in {n} epochs.", n=self.patience)
