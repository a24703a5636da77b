"""How many workers are offered, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips.loader_workers import propose
from tests.tips.evidences import PLATFORM, waiting


@pytest.mark.parametrize(("workers", "speaks"), [(6, True), (7, False), (8, False)])
def test_one_core_is_left_to_the_training(workers: int, speaks: bool) -> None:
    """Of eight, seven may load."""
    assert (propose(waiting(0.3, workers=workers)) is not None) is speaks


def test_two_cores_give_one_worker() -> None:
    """And the card says that this may be slower."""
    proposal = propose(replace(waiting(0.3), platform=replace(PLATFORM, processors=2)))

    assert proposal is not None
    assert "num_workers=1," in proposal.code[0].text
    assert any("with two cores it can even be slower" in cost for cost in proposal.costs)


def test_starting_them_is_a_cost() -> None:
    """Each is a process."""
    proposal = propose(waiting(0.3))

    assert proposal is not None
    assert any("takes time to start" in cost for cost in proposal.costs)


def test_tells_workers_cores_and_waiting() -> None:
    """From what was measured."""
    proposal = propose(waiting(0.3, workers=2))

    assert proposal is not None
    assert all(figure in proposal.why for figure in ("30 %", "2 workers", "8 cores"))


def test_workers_live_on() -> None:
    """Else each epoch starts them again."""
    proposal = propose(waiting(0.3))

    assert proposal is not None
    assert all("persistent_workers=True" in one.text for one in proposal.code)
