"""Another card of the machine."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.tips.base import Evidence, OtherCard
from bigmodel_lab.tips.other_gpu import propose
from tests.tips.evidences import A100, GIB, LINUX_IDLE_CARD, PLATFORM, healthy, nearly_full

SAME = OtherCard(1, "NVIDIA A100-SXM4-40GB", A100.total_bytes)


def beside(*cards: OtherCard, evidence: Evidence) -> Evidence:
    """These are free."""
    return replace(evidence, platform=replace(PLATFORM, other_cards=cards))


def test_silent_for_a_card_of_the_same_kind() -> None:
    """It has no more: a context would lie there, too."""
    assert propose(beside(SAME, evidence=nearly_full())) is None


def test_a_card_of_the_same_kind_without_others() -> None:
    """Where others take of this one, it has more."""
    assert propose(beside(SAME, evidence=healthy(others_bytes=4 * GIB))) is not None


def test_the_one_with_the_most_memory() -> None:
    """Of several."""
    proposal = propose(beside(SAME, LINUX_IDLE_CARD, evidence=nearly_full()))

    assert proposal is not None
    assert "GPU 2" in proposal.title


def test_silent_where_memory_is_enough() -> None:
    """There is no reason to move."""
    assert propose(beside(LINUX_IDLE_CARD, evidence=healthy())) is None


def test_the_lines_name_pytorchs_number() -> None:
    """CUDA_VISIBLE_DEVICES counts otherwise where it is set already."""
    proposal = propose(beside(LINUX_IDLE_CARD, evidence=nearly_full()))

    assert proposal is not None
    assert all("cuda:2" in one.text for one in proposal.code)


def test_needs_a_new_start() -> None:
    """Nothing moves by itself."""
    proposal = propose(beside(LINUX_IDLE_CARD, evidence=nearly_full()))

    assert proposal is not None
    assert not proposal.can_apply
