"""When less power is worth asking for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips.base import StepFacts
from bigmodel_lab.tips.power_limit import propose
from tests.tips.evidences import healthy


@pytest.mark.parametrize(("watts", "speaks"), [(359.0, False), (360.0, True)])
def test_near_is_nine_tenths(watts: float, speaks: bool) -> None:
    """Of a limit of 400 W."""
    assert (propose(healthy(power_watts=watts)) is not None) is speaks


@pytest.mark.parametrize(("percent", "speaks"), [(69.0, False), (70.0, True)])
def test_the_card_must_be_busy(percent: float, speaks: bool) -> None:
    """Else the power is not the run's."""
    steps = StepFacts(200, 0.2, gpu_utilization_percent=percent)

    assert (propose(healthy(power_watts=390.0, steps=steps)) is not None) is speaks


def test_silent_where_the_limit_is_unknown() -> None:
    """Unknown is not 0."""
    assert propose(healthy(power_watts=390.0, power_limit_watts=None)) is None


def test_silent_about_a_card_that_does_not_exist() -> None:
    """What was drawn is another card's."""
    assert propose(healthy(power_watts=390.0, simulated=True)) is None


def test_silent_beside_a_run_on_the_cpu() -> None:
    """So it is there."""
    assert propose(replace(healthy(power_watts=390.0), accelerator="cpu", card=None)) is None


def test_tells_the_energy_of_a_step() -> None:
    """390 W for 0.2 s."""
    proposal = propose(healthy(power_watts=390.0))

    assert proposal is not None
    assert "78 J a step of the whole board" in proposal.why


def test_the_command_names_one_card() -> None:
    """Without ``-i`` it would limit all of the machine."""
    proposal = propose(healthy(power_watts=390.0))

    assert proposal is not None
    assert " -i " in proposal.code[0].text


def test_a_running_training_goes_on() -> None:
    """The driver takes the limit at once."""
    proposal = propose(healthy(power_watts=390.0))

    assert proposal is not None
    assert not proposal.needs_restart
