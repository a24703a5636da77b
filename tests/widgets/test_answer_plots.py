"""Cost of inference and heat maps as figures."""

from __future__ import annotations

import numpy as np
import pytest

from bigmodel_lab.training.heat_map import Heat
from bigmodel_lab.training.inference_cost import BatchCost, InferenceCost
from bigmodel_lab.widgets._cost_plot import cost_figure
from bigmodel_lab.widgets._heat_plot import heat_figure


def cost(*batches: BatchCost) -> InferenceCost:
    """A measurement of these."""
    return InferenceCost("mlp", "cuda:0", "fp32", batches, ())


def test_latency_has_two_lines_and_throughput_one():
    """Median and 95 of 100, against the batch sizes that were measured."""
    latency, throughput = cost_figure(
        cost(BatchCost(1, 1e-4, 2e-4, 20, None, None), BatchCost(64, 1e-3, 2e-3, 20, None, None))
    ).axes

    assert [line.get_ydata().tolist() for line in latency.lines] == [[1e-4, 1e-3], [2e-4, 2e-3]]
    np.testing.assert_allclose(throughput.lines[0].get_ydata(), [10_000, 64_000])
    assert [label.get_text() for label in throughput.get_xticklabels()] == ["1", "64"]


def test_axes_are_marked_in_units():
    """Between one and two powers of ten there are marks to read values by."""
    axes = cost_figure(cost(BatchCost(1, 1e-4, 2e-4, 20, None, None), BatchCost(64, 1e-3, 2e-3, 20, None, None))).axes

    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["100 µs", "200 µs", "500 µs", "1 ms", "2 ms"]


def test_memory_is_drawn_where_it_is_known():
    """On a card there is a third chart."""
    figure = cost_figure(cost(BatchCost(1, 1e-4, 2e-4, 20, 2**20, 2**10)))

    assert figure.axes[2].get_title(loc="left") == "Peak memory"


def test_what_does_not_fit_is_left_out():
    """The others are drawn."""
    figure = cost_figure(cost(BatchCost(1, 1e-4, 2e-4, 20, None, None), BatchCost(64, None, None, 0, None, None)))

    assert figure.axes[0].lines[0].get_xdata().tolist() == [1]


def test_where_nothing_fits_the_charts_are_empty():
    """No error."""
    assert len(cost_figure(cost(BatchCost(64, None, None, 0, None, None))).axes) == 2


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_a_heat_map_stands_beside_its_picture(method: str, dark: bool):
    """Three pictures and the scale of the values."""
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    figure = heat_figure(Heat(np.zeros((8, 8), np.float32), values, method, "cat", 0.9), dark=dark)

    assert [axes.get_title() for axes in figure.axes] == ["picture", method, "over each other", ""]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_occlusion_is_drawn_around_zero():
    """What speaks for the class and what speaks against it have colours of the same strength."""
    values = np.array([[0.5, -2.0]], np.float32)
    figure = heat_figure(Heat(np.zeros((1, 2), np.float32), values, "occlusion", "cat", 0.9))

    assert figure.axes[1].images[0].get_clim() == (-2.0, 2.0)


def test_a_coloured_picture_is_grey_below_its_heat():
    """Otherwise two scales of colour would mix."""
    heat = Heat(np.zeros((8, 8, 3), np.float32), np.ones((8, 8), np.float32), "saliency", "cat", 0.9)

    assert heat_figure(heat).axes[2].images[0].get_array().shape == (8, 8)


def test_without_a_word_the_throughput_needs_no_legend():
    """One line under its title explains itself."""
    axes = cost_figure(cost(BatchCost(1, 1e-4, 2e-4, 20, None, None))).axes

    assert axes[0].get_legend() is not None
    assert axes[1].get_legend() is None


def test_the_title_says_what_was_measured_where():
    """Model, device and number format."""
    assert cost_figure(cost(BatchCost(1, 1e-4, 2e-4, 20, None, None)))._suptitle.get_text() == "mlp on cuda:0, fp32"


def test_many_powers_of_ten_have_few_marks():
    """From microseconds to seconds only the powers are marked."""
    axes = cost_figure(cost(BatchCost(1, 1e-6, 2e-6, 20, None, None), BatchCost(64, 1.0, 2.0, 20, None, None))).axes[0]

    assert 3 <= len(axes.get_yticks()) <= 8


def test_a_heat_map_without_heat_is_drawn():
    """A model that looks at nothing: all zero, no division by it."""
    figure = heat_figure(Heat(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32), "saliency", "cat", 0.9))

    assert figure.axes[1].images[0].get_clim() == (0, 1.0)


def test_the_heat_map_names_class_and_probability():
    """What is explained stands above."""
    figure = heat_figure(Heat(np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32), "saliency", "cat", 0.9))

    assert figure._suptitle.get_text() == "cat (90 %)"
