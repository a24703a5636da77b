"""The picture of a learning-rate range test."""

from __future__ import annotations

import numpy as np
import pytest

from bigmodel_lab.training import RangeCurve, range_curve, rising_rates
from bigmodel_lab.widgets._range_plot import range_figure


@pytest.fixture
def curve() -> RangeCurve:
    """A loss that falls, then explodes."""
    loss = [2.0] * 20 + [2 - 0.05 * n for n in range(30)] + [0.6, 3.0, 400.0]
    return range_curve(rising_rates(1e-6, 1.0, len(loss)), loss)


def test_both_losses_and_the_suggestion_are_drawn(curve: RangeCurve):
    """Over the learning rates, in the order of the legend."""
    axes = range_figure(curve, "A test").axes[0]
    loss, smoothed, rate = axes.lines

    assert np.array_equal(loss.get_ydata(), curve.losses)
    assert np.array_equal(smoothed.get_ydata(), curve.smoothed)
    assert np.array_equal(smoothed.get_xdata(), curve.rates)
    assert list(rate.get_xdata()) == [curve.steepest, curve.steepest]
    assert axes.get_title(loc="left") == "A test"


def test_one_exploding_batch_does_not_flatten_the_rest(curve: RangeCurve):
    """The axis ends a little above the smoothed loss."""
    low, high = range_figure(curve, "").axes[0].get_ylim()

    assert low == 0
    assert curve.smoothed.max() < high < 400


def test_without_a_suggestion_there_is_no_line():
    """Nothing is marked that was not found."""
    rising = range_curve(rising_rates(1e-6, 1.0, 30), [1 + 0.1 * n for n in range(30)])

    assert len(range_figure(rising, "").axes[0].lines) == 2


def test_a_test_without_steps_can_be_drawn():
    """One that was stopped at once."""
    assert range_figure(range_curve([], []), "").axes[0].get_xscale() == "log"


def test_dark_has_a_dark_ground(curve: RangeCurve):
    """And shows itself as a picture."""
    light, dark = range_figure(curve, ""), range_figure(curve, "", dark=True)

    assert sum(dark.get_facecolor()[:3]) < 0.5 < sum(light.get_facecolor()[:3])
    assert dark._repr_png_().startswith(b"\x89PNG")
