"""When a step is worth capturing."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.tips.cuda_graphs import propose
from tests.tips.evidences import A100, PLATFORM, idle


def test_silent_without_triton() -> None:
    """The lines compile, and that needs it."""
    assert propose(idle(0.002, platform=replace(PLATFORM, packages=frozenset()))) is None


def test_silent_on_a_card_that_triton_has_no_code_for() -> None:
    """Pascal."""
    assert propose(idle(0.002, card=replace(A100, capability=(6, 1)))) is None


def test_silent_beside_a_run_on_the_cpu() -> None:
    """A card that nobody uses is idle, too."""
    assert propose(idle(0.002, accelerator="cpu", card=None)) is None


def test_it_is_advice_for_the_next_run() -> None:
    """No click captures a step of a run that goes on."""
    proposal = propose(idle(0.002))

    assert proposal is not None
    assert proposal.needs_restart
    assert not proposal.can_apply


def test_tells_how_short_a_step_is() -> None:
    """That is what makes launches count."""
    proposal = propose(idle(0.002))

    assert proposal is not None
    assert "A step takes 2 ms." in proposal.why


def test_every_line_asks_for_graphs() -> None:
    """By the mode of torch.compile that records them."""
    proposal = propose(idle(0.002))

    assert proposal is not None
    assert all('"reduce-overhead"' in one.text for one in proposal.code)
