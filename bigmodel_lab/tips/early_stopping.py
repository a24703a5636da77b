"""End the run when it only learns its training data by heart."""

from __future__ import annotations

from itertools import pairwise

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence, Proposal, Tip

_EPOCHS = 3
"""One epoch may rise by chance; three in a row seldom do (our choice)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where the validation loss has risen for three epochs while the train loss fell."""
    if evidence.config.early_stopping is not None:
        return None
    validation, train = (losses[-_EPOCHS - 1 :] for losses in (evidence.validation_losses, evidence.train_losses))
    if len(validation) <= _EPOCHS or not all(a < b for a, b in pairwise(validation)):
        return None
    if not all(a > b for a, b in pairwise(train)):
        return None
    return Proposal(
        tip="early_stopping",
        goal="quality",
        title=text("tip.early_stopping.title", "Stop after {count} epochs without a better validation", count=_EPOCHS),
        why=text(
            "tip.early_stopping.why",
            "In {count} epochs the validation loss rose from {first:.3g} to {last:.3g} while the train loss fell from "
            "{train_first:.3g} to {train_last:.3g}: over-fitting.",
            count=_EPOCHS,
            first=validation[0],
            last=validation[-1],
            train_first=train[0],
            train_last=train[-1],
        ),
        change={"early_stopping": _EPOCHS},
        costs=(
            text(
                "tip.early_stopping.cost", "A later improvement is not seen. Keep the best weights: checkpoint='best'."
            ),
        ),
        weight=0.5,
    )


TIP = Tip(propose)
