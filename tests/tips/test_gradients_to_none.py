"""When gradients are kept as zeros."""

from __future__ import annotations

import pytest

from bigmodel_lab.tips.gradients_to_none import propose
from tests.tips.evidences import healthy


@pytest.mark.parametrize("keeps", [False, None])
def test_silent_unless_it_is_known(keeps: bool | None) -> None:
    """Nobody guesses."""
    assert propose(healthy(keeps_gradients=keeps, framework="plain")) is None


@pytest.mark.parametrize("framework", ["bigmodel_lab", "transformers", "lightning", "accelerate"])
def test_it_is_for_loops_of_ones_own(framework: str) -> None:
    """Others drop them by default, and the line would not be the person's."""
    assert propose(healthy(keeps_gradients=True, framework=framework)) is None


def test_tells_how_much_is_held() -> None:
    """25 million gradients of 4 bytes."""
    proposal = propose(healthy(keeps_gradients=True, framework="plain"))

    assert proposal is not None
    assert "95.4 MiB" in proposal.why
