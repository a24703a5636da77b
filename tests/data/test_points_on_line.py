"""Points about a line whose slope and intercept are known."""

from __future__ import annotations

import torch

from bigmodel_lab.data import load_data
from bigmodel_lab.data.points_on_line import INTERCEPT, NOISE, SAMPLES, SLOPE


def test_it_is_a_regression_of_one_number():
    """Both x and y are float32 columns; nothing has a class."""
    data = load_data("points_on_line")

    assert (data.task, data.classes, data.input_shape) == ("regression", 1, (1,))
    assert (data.train.y.dtype, data.train.y.shape) == (torch.float32, data.train.x.shape)


def test_least_squares_finds_the_line():
    """The line of least squares over all points is the documented one, to within a few standard errors."""
    splits = load_data("points_on_line").splits.values()
    x, y = torch.cat([s.x for s in splits]).double(), torch.cat([s.y for s in splits]).double()
    found = torch.linalg.lstsq(torch.cat([x, torch.ones_like(x)], 1), y).solution.flatten()

    assert len(x) == SAMPLES
    assert torch.allclose(found, torch.tensor([SLOPE, INTERCEPT]).double(), atol=4 * NOISE / SAMPLES**0.5)


def test_the_noise_is_as_documented():
    """What is left beside the line has the documented deviation, to within a tenth."""
    train = load_data("points_on_line").train
    rest = train.y - SLOPE * train.x - INTERCEPT

    assert abs(float(rest.std()) / NOISE - 1) < 0.1
