"""A cap where others compute on the same card."""

from __future__ import annotations

import pytest

from bigmodel_lab.tips.base import MemoryFacts
from bigmodel_lab.tips.memory_cap import propose
from tests.tips.evidences import A100, GIB, healthy, with_config


@pytest.mark.parametrize("others", [1, 4, 12])
def test_others_keep_what_they_have_and_some_more(others: int) -> None:
    """The larger of 5 % of the card and 1 GiB, and a CUDA context."""
    proposal = propose(healthy(others_bytes=others * GIB))
    assert proposal is not None
    mine = proposal.change["memory_fraction"] * A100.total_bytes

    assert mine <= A100.total_bytes - others * GIB - A100.context_bytes - max(GIB, 0.05 * A100.total_bytes)


def test_silent_without_others() -> None:
    """The card is one's own."""
    assert propose(healthy()) is None


def test_silent_where_there_is_a_cap() -> None:
    """Whoever set it knew why."""
    assert propose(with_config(healthy(others_bytes=4 * GIB), memory_fraction=0.9)) is None


def test_silent_where_the_run_needs_more() -> None:
    """A cap below the peak would end it."""
    memory = MemoryFacts(34 * GIB, 35 * GIB)

    assert propose(healthy(others_bytes=4 * GIB, memory=memory)) is None


def test_silent_where_nothing_is_left() -> None:
    """A cap of nothing is none."""
    assert propose(healthy(others_bytes=A100.total_bytes, memory=None)) is None
