"""VGG-16, configuration D."""

from __future__ import annotations

from math import prod

import pytest
from torch import nn

from bigmodel_lab.subjects.vgg16 import VGG16
from tests.subjects.shapes import images, kept_bytes, on_meta, outputs, weights


def test_sixteen_layers_have_weights():
    """Thirteen convolutions and three linear layers."""
    layers = list(on_meta(VGG16).modules())

    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 13
    assert sum(isinstance(layer, nn.Linear) for layer in layers) == 3


def test_each_pooling_halves_the_image():
    """From 224 to 7, the channels from 64 to 512."""
    assert outputs(on_meta(VGG16), images(1, 224), of=nn.MaxPool2d) == [
        (1, 64, 112, 112),
        (1, 128, 56, 56),
        (1, 256, 28, 28),
        (1, 512, 14, 14),
        (1, 512, 7, 7),
    ]


def test_nearly_half_of_the_activations_belong_to_the_first_two_layers():
    """Small layers on large images are what fills the memory."""
    maps = [prod(shape) for shape in outputs(on_meta(VGG16), images(1, 224), of=nn.Conv2d)]

    assert sum(maps[:2]) / sum(maps) == pytest.approx(0.47, abs=0.01)


def test_the_first_linear_layer_holds_most_of_the_weights():
    """102,764,544 of 138,357,544."""
    assert weights(on_meta(VGG16).decide[0]) == 102_764_544


def test_an_image_twice_as_wide_keeps_twice_as_much():
    """Up to the linear layers, which are the same for every size."""
    features = on_meta(VGG16).features
    narrow, wide = (kept_bytes(lambda w=w: features(images(1, 384)[..., :w].contiguous()).sum()) for w in (192, 384))

    assert wide == 2 * narrow


def test_dropout_can_be_left_out():
    """Then no mask is kept."""
    with_masks, without = (on_meta(lambda p=p: VGG16(dropout=p)).decide for p in (0.5, 0.0))
    x = images(1, 224).new_empty(8, 25088)

    assert kept_bytes(lambda: with_masks(x).sum()) > kept_bytes(lambda: without(x).sum())
