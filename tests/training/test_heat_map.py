"""Heat maps: what matters is hot, what does not is cold."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.data import Data, Split
from bigmodel_lab.errors import ConfigError, MissingPackageError, ShapeError, UnknownNameError
from bigmodel_lab.training.heat_map import heat_of

SIDE = 12


class UpperLeft(nn.Module):
    """Class 1 where the upper left quarter is bright; the rest of the picture means nothing to it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        """Two scores."""
        bright = x[..., : SIDE // 2, : SIDE // 2].mean((1, 2, 3)) * self.weight
        return torch.stack((torch.ones_like(bright), bright), 1)


class ByHand(UpperLeft):
    """The same without autograd."""

    def backward_by_hand(self, output: Tensor, labels: Tensor, share: float) -> None:  # noqa: ARG002
        """Learns nothing."""
        self.weight.grad = torch.zeros_like(self.weight)


@pytest.fixture
def pictures() -> Data:
    """Bright pictures, in grey."""
    part = Split(torch.full((4, 1, SIDE, SIDE), 200, dtype=torch.uint8), torch.ones(4, dtype=torch.int64))
    return Data("bright", "", part, part, part, scale=1 / 255, classes=2, class_names=("dark", "bright"))


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_only_what_the_model_looks_at_is_hot(make, pictures, method):
    """The upper left quarter has a value, the lower right has none."""
    heat = heat_of(make(model=UpperLeft(), data=pictures), 0, method)

    assert heat.values.shape == heat.picture.shape == (SIDE, SIDE)
    assert (heat.values[:4, :4] > 0).all()
    np.testing.assert_allclose(heat.values[-4:, -4:], 0, atol=1e-6)


def test_saliency_is_the_gradient(make, pictures):
    """The score is ten times the mean of 36 pixels: each has a gradient of 10/36."""
    heat = heat_of(make(model=UpperLeft(), data=pictures), 0, "saliency")

    np.testing.assert_allclose(heat.values[:6, :6], 10 / 36, rtol=1e-5)


def test_it_says_which_class_it_explains(make, pictures):
    """The one that the model gives, with its probability."""
    heat = heat_of(make(model=UpperLeft(), data=pictures), 0, "saliency")

    assert heat.name == "bright"
    assert heat.probability > 0.9


def test_a_picture_of_ones_own_is_explained(make, pictures):
    """As for predict, its channel may be missing."""
    heat = heat_of(make(model=UpperLeft(), data=pictures), np.zeros((SIDE, SIDE), np.uint8), "saliency")

    assert heat.name == "dark"


def test_colours_become_one_map(make, pictures):
    """Of three channels the strongest counts."""
    x = torch.full((4, 3, SIDE, SIDE), 200, dtype=torch.uint8)
    part = replace(pictures.test, x=x)
    coloured = replace(pictures, train=part, validation=part, test=part)
    heat = heat_of(make(model=UpperLeft(), data=coloured), 0, "occlusion")

    assert (heat.picture.shape, heat.values.shape) == ((SIDE, SIDE, 3), (SIDE, SIDE))


def test_explaining_leaves_no_gradient(make, pictures):
    """The next step of the training must not find it."""
    trainer = make(model=UpperLeft(), data=pictures)
    heat_of(trainer, 0, "saliency")

    assert trainer.model.weight.grad is None


def test_a_model_without_autograd_names_the_other_method(make, pictures):
    """Saliency needs gradients by pixel; occlusion does not."""
    trainer = make(model=ByHand(), data=pictures)

    with pytest.raises(ConfigError, match="method='occlusion'"):
        heat_of(trainer, 0, "saliency")
    assert heat_of(trainer, 0, "occlusion").name == "bright"


def test_features_are_no_picture(make, data):
    """The message says which shapes are."""
    with pytest.raises(ShapeError, match=r"one picture.*\(64,\)"):
        heat_of(make(), 0, "saliency")


def test_several_pictures_are_too_many(make, pictures):
    """One at a time."""
    with pytest.raises(ShapeError, match="2 ×"):
        heat_of(make(model=UpperLeft(), data=pictures), torch.zeros(2, SIDE, SIDE), "saliency")


def test_a_test_sample_that_is_not_there_is_named(make, pictures):
    """The message says how many there are."""
    with pytest.raises(ConfigError, match="no test sample 4: bright has 4"):
        heat_of(make(model=UpperLeft(), data=pictures), 4, "saliency")


def test_a_model_of_numbers_has_no_class_to_explain(make):
    """The message names the task."""
    part = Split(torch.zeros(4, 1), torch.zeros(4, 1))
    line = Data("line", "", part, part, part, scale=None, classes=1, task="regression")

    with pytest.raises(ConfigError, match="regression, not for classes"):
        heat_of(make(model=nn.Linear(1, 1), data=line), 0, "saliency")


def test_an_unknown_method_is_answered_with_the_nearest(make):
    """A misspelt name lists both."""
    with pytest.raises(UnknownNameError, match="Did you mean 'occlusion'"):
        heat_of(make(), 0, "oclusion")


def test_without_captum_the_extra_is_named(make, pictures, monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "captum", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[explain\]"):
        heat_of(make(model=UpperLeft(), data=pictures), 0, "saliency")
