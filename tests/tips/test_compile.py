"""When a compilation is worth its time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips.base import ModelFacts
from bigmodel_lab.tips.compile import propose
from tests.tips.evidences import A100, idle

BREAK_EVEN = 1032
"""60 s at 0.2 s × (1 - 1/1.41) saved a step, rounded up."""


@pytest.mark.parametrize(("left", "speaks"), [(BREAK_EVEN - 1, False), (BREAK_EVEN, True), (None, True)])
def test_the_steps_left_must_earn_it_back(left: int | None, speaks: bool) -> None:
    """Where nobody knows how many are left, the person decides."""
    assert (propose(idle(steps_left=left)) is not None) is speaks


@pytest.mark.parametrize(("capability", "speaks"), [((6, 1), False), ((7, 0), True)])
def test_triton_needs_volta(capability: tuple[int, int], speaks: bool) -> None:
    """It has no code for older cards."""
    assert (propose(idle(card=replace(A100, capability=capability))) is not None) is speaks


def test_a_model_that_is_compiled_stays_so() -> None:
    """Also where somebody else compiled it."""
    assert propose(idle(model=ModelFacts(1, 1, is_compiled=True))) is None


def test_silent_beside_a_run_on_the_cpu() -> None:
    """A card that nobody uses is idle, too."""
    assert propose(idle(accelerator="cpu")) is None


def test_tells_how_busy_the_card_is() -> None:
    """With what a step takes and what the compilation is taken for."""
    proposal = propose(idle())

    assert proposal is not None
    assert all(figure in proposal.why for figure in ("30 %", "200 ms", "1 min 0 s"))
