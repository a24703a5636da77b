"""The learning rate that goes with another effective batch."""

from __future__ import annotations

from math import sqrt

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Evidence, Proposal, Tip

_LINEAR = frozenset(("sgd", "asgd"))
"""Of these the linear rule is usual (Goyal et al. 2017, arXiv 1706.02677), of adaptive ones that of the square root
(Malladi et al. 2022, arXiv 2205.10287)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where the effective batch was changed on purpose and the learning rate is still the documented one."""
    config, documented = evidence.config, evidence.documented
    if documented is None or evidence.mode != "train" or config.optimizer != documented.optimizer:
        return None
    ratio = config.effective_batch_size / documented.effective_batch_size
    if ratio == 1 or config.learning_rate != documented.learning_rate:
        return None
    linear, root = config.learning_rate * ratio, config.learning_rate * sqrt(ratio)
    rate = linear if config.optimizer in _LINEAR else root
    return Proposal(
        tip="learning_rate",
        goal="quality",
        title=text(
            "tip.learning_rate.title",
            "Learning rate {before:.3g} → {after:.3g}",
            before=config.learning_rate,
            after=rate,
        ),
        why=text(
            "tip.learning_rate.why",
            "Each step sees {now} samples; the learning rate of {rate:.3g} is documented for {documented}. Scaled linearly "
            "(usual for SGD) it is {linear:.3g}, by the square root (usual for Adam) {root:.3g}.",
            now=config.effective_batch_size,
            rate=config.learning_rate,
            documented=documented.effective_batch_size,
            linear=linear,
            root=root,
        ),
        change={"learning_rate": rate},
        costs=(text("tip.learning_rate.cost", "Another training: compare the validation loss, not the speed."),),
        changes_arithmetic=True,
        weight=0.05,
    )


TIP = Tip(propose)
