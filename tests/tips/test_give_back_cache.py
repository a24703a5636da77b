"""Idle cache on a card where others compute."""

from __future__ import annotations

from bigmodel_lab.tips.base import MemoryFacts
from bigmodel_lab.tips.give_back_cache import propose
from tests.tips.evidences import GIB, fragmented, healthy


def test_silent_without_others() -> None:
    """Nobody needs it."""
    assert propose(fragmented()) is None


def test_silent_where_little_lies_idle() -> None:
    """The cache is what the next step uses."""
    assert propose(healthy(others_bytes=GIB)) is None


def test_says_how_much() -> None:
    """30 GiB reserved, 20 of them used."""
    proposal = propose(healthy(others_bytes=GIB, memory=MemoryFacts(20 * GIB, 30 * GIB)))

    assert proposal is not None
    assert "10 GiB" in proposal.title


def test_is_done_while_a_training_runs() -> None:
    """By hand: it is no setting."""
    proposal = propose(fragmented(others_bytes=GIB))

    assert proposal is not None
    assert not proposal.can_apply
    assert all(one.in_mid_run for one in proposal.code)
