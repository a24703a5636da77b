"""AlexNet in its form for one GPU."""

from __future__ import annotations

import pytest
from torch import nn

from bigmodel_lab.subjects.alexnet import AlexNet
from tests.subjects.shapes import images, on_meta, outputs, weights


def test_feature_maps_are_as_published():
    """55×55 after the first window of 11 with stride 4, then 27, then 13."""
    model = on_meta(AlexNet)

    assert outputs(model, images(2, 224), of=nn.Conv2d) == [
        (2, 64, 55, 55),
        (2, 192, 27, 27),
        (2, 384, 13, 13),
        (2, 256, 13, 13),
        (2, 256, 13, 13),
    ]


def test_the_linear_layers_hold_24_of_25_weights():
    """So tips that shrink weights act there."""
    model = on_meta(AlexNet)

    assert weights(model.decide) / weights(model) == pytest.approx(24 / 25, abs=0.002)


@pytest.mark.parametrize("side", [64, 227, 512])
def test_images_of_other_sizes_pass(side: int):
    """They are brought to 6×6 before the linear layers."""
    assert on_meta(AlexNet)(images(1, side)).shape == (1, 1000)


def test_classes_can_be_chosen():
    """Only the last layer changes."""
    assert weights(on_meta(AlexNet)) - weights(on_meta(lambda: AlexNet(classes=10))) == 990 * 4097
