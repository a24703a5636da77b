"""When a run shall end before its last epoch."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.tips.early_stopping import propose
from tests.tips.evidences import healthy, with_config


def over_fitted() -> Evidence:
    """Three epochs in which only the training data were learned."""
    return healthy(validation_losses=(0.9, 0.5, 0.6, 0.7, 0.8), train_losses=(0.9, 0.5, 0.4, 0.3, 0.2))


def test_silent_where_it_is_set_already() -> None:
    """The run will end by itself."""
    assert propose(with_config(over_fitted(), early_stopping=5)) is None


def test_silent_while_the_loss_stands_still() -> None:
    """Equal is not worse."""
    assert propose(replace(over_fitted(), validation_losses=(0.9, 0.5, 0.5, 0.5, 0.5))) is None


def test_tells_both_losses() -> None:
    """From the best epoch to the latest."""
    proposal = propose(over_fitted())

    assert proposal is not None
    assert "rose from 0.5 to 0.8" in proposal.why
    assert "fell from 0.5 to 0.2" in proposal.why


def test_waits_as_long_as_it_looked() -> None:
    """So that a click ends the run whose card speaks of it."""
    proposal = propose(over_fitted())

    assert proposal is not None
    assert proposal.change == {"early_stopping": 3}
