"""What is concluded from the same steps before and after a change."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bigmodel_lab.tips._verdict import judge
from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.device_memory import Peaks
from bigmodel_lab.training.recovery import OutOfMemoryFacts
from bigmodel_lab.training.rehearsal import Window

MIB = 2**20
LOSSES = (2.0, 1.8, 2.1, 1.9, 2.0)
MEMORY = Proposal("example", "memory", "Less memory", "Because.")
SPEED = replace(MEMORY, goal="speed")


def window(seconds: float = 0.1, mib: int = 100, losses: tuple[float, ...] = LOSSES) -> Window:
    """Steps of this time under a peak of so much."""
    steps = tuple(seconds * (1 + 0.001 * n) for n in range(len(losses)))
    return Window(TrainConfig(), steps, losses, Peaks(mib * MIB, 2 * mib * MIB))


FULL = replace(window(), out_of_memory=OutOfMemoryFacts("forward", 1, None, None, None, None))


def test_less_memory_is_kept() -> None:
    """With how much it is, in words."""
    measured = judge(MEMORY, [window()], [window(mib=60)])

    assert measured.verdict == "kept"
    assert "40 MiB" in measured.sentence


def test_more_memory_is_taken_back() -> None:
    """It was to take less."""
    assert judge(MEMORY, [window()], [window(mib=120)]).verdict == "reverted"


def test_the_same_memory_is_inconclusive() -> None:
    """Blocks are rounded: a thousandth says nothing."""
    measured = judge(MEMORY, [window(mib=1000)], [window(mib=999)])

    assert measured.verdict == "inconclusive"


def test_memory_that_nobody_counts_is_inconclusive() -> None:
    """As on a CPU."""
    unknown = replace(window(), peaks=None)

    assert judge(MEMORY, [unknown], [unknown]).verdict == "inconclusive"


@pytest.mark.parametrize(("seconds", "verdict"), [(0.05, "kept"), (0.2, "reverted"), (0.101, "inconclusive")])
def test_time_is_judged_beyond_its_noise(seconds: float, verdict: str) -> None:
    """Two per cent are noise on any machine."""
    assert judge(SPEED, [window(), window()], [window(seconds), window(seconds)]).verdict == verdict


def test_noise_of_the_old_settings_widens_the_band() -> None:
    """Where two windows without the change differ by half, a fifth is nothing."""
    measured = judge(SPEED, [window(0.1), window(0.15)], [window(0.1), window(0.1)])

    assert measured.verdict == "inconclusive"


def test_the_first_step_does_not_count() -> None:
    """It fills caches, and compiles."""
    slow_start = replace(window(0.05), step_seconds=(9.0, 0.05, 0.05, 0.05, 0.05))

    assert judge(SPEED, [window()], [slow_start]).verdict == "kept"


def test_a_changed_step_that_runs_out_is_taken_back() -> None:
    """Whatever the other numbers say."""
    assert judge(MEMORY, [window()], [window(mib=1), FULL]).verdict == "reverted"


def test_where_the_old_settings_do_not_run_running_is_enough() -> None:
    """There is nothing to compare with."""
    measured = judge(MEMORY, [], [window()])

    assert (measured.verdict, measured.allocated_bytes) == ("kept", None)


def test_the_loss_of_other_arithmetic_is_compared() -> None:
    """A gap within a tenth of the spread, or a fiftieth of the loss, is none."""
    near = window(mib=60, losses=tuple(loss + 0.01 for loss in LOSSES))
    measured = judge(replace(MEMORY, changes_arithmetic=True), [window(), window()], [near])

    assert measured.verdict == "kept"
    assert measured.loss_gap == pytest.approx(0.01)


@pytest.mark.parametrize("loss", [3.0, math.nan, math.inf])
def test_a_loss_that_goes_another_way_is_taken_back(loss: float) -> None:
    """Beyond the control band, however much memory it saves."""
    far = window(mib=10, losses=(loss,) * 5)
    measured = judge(replace(MEMORY, changes_arithmetic=True), [window(), window()], [far])

    assert measured.verdict == "reverted"


def test_the_control_band_is_as_wide_as_two_controls_differ() -> None:
    """Where the same settings give other losses, so may the change."""
    other = window(losses=tuple(loss + 0.5 for loss in LOSSES))
    changed = window(mib=10, losses=tuple(loss + 0.4 for loss in LOSSES))
    measured = judge(replace(MEMORY, changes_arithmetic=True), [window(), other], [changed])

    assert (measured.verdict, measured.loss_band) == ("kept", pytest.approx(0.5))


def test_the_same_arithmetic_is_not_compared() -> None:
    """There is no gap to tell."""
    assert judge(MEMORY, [window()], [window(mib=60)]).loss_gap is None


def test_the_lines_tell_the_numbers() -> None:
    """Memory, time, loss."""
    measured = judge(replace(MEMORY, changes_arithmetic=True), [window()], [window(0.05, 60)])

    assert measured.lines[0] == "peak memory 100 MiB → 60 MiB"
    assert measured.lines[1].startswith("step time 100 ms → 50.1 ms (× 0.50)")
    assert "control band" in measured.lines[2]


def test_on_a_simulated_card_time_is_that_of_the_cpu() -> None:
    """And says so."""
    measured = judge(SPEED, [window()], [window(0.5)], simulated=True)

    assert measured.verdict == "inconclusive"
    assert measured.lines[1].endswith("on the CPU, not on the simulated card")


def test_quality_shows_later() -> None:
    """A learning rate is not judged by ten steps."""
    assert judge(replace(MEMORY, goal="quality"), [window()], [window()]).verdict == "inconclusive"
