"""`cifar_cnn`: its shapes, its data, and what document D1 got wrong about them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.models.cifar_cnn import MODEL, CifarCNN


def outputs(model: nn.Module, x: torch.Tensor) -> list[tuple[int, ...]]:
    """Shapes of what each layer returns for this batch, in the order of the layers."""
    shapes: list[tuple[int, ...]] = []
    for layer in model.children():
        layer.register_forward_hook(lambda _layer, _x, y: shapes.append(tuple(y.shape[1:])))
    model(x)
    return shapes


def test_every_layer_has_the_documented_shape():
    """Convolutions give 30×30, 13×13 and 4×4 places, the linear layers 64 and 10 numbers."""
    expected = [(32, 30, 30), (64, 13, 13), (64, 4, 4), (64,), (10,)]

    assert outputs(CifarCNN(), MODEL.example(2)) == expected


def test_flattened_image_has_1024_numbers():
    """Between the last convolution and the first linear layer lie 64 features of 4×4 places."""
    assert CifarCNN().fc1.in_features == 64 * 4 * 4 == 1024


def test_layers_are_those_of_the_listing_not_of_the_text():
    """Three convolutions and two linear layers, where the text counts two and one."""
    kinds = [type(layer) for layer in CifarCNN().modules()]

    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear)) == (3, 2)
    assert any("three and two" in str(erratum) for erratum in MODEL.errata)


def test_training_images_a_class():
    """Ten classes of equal size make 5,000 of 50,000 images; the printed 6,000 would make 60,000."""
    assert 50_000 // int(MODEL.classes or 0) == 5_000
    assert any("5,000 training images a class" in str(erratum) for erratum in MODEL.errata)


def test_colours_matter():
    """An image and the same in other colours get different scores."""
    model = MODEL.create(seed=0)
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    assert not torch.allclose(model(x), model(x.flip(1)))


def test_images_of_another_size_are_refused():
    """The first linear layer fixes the size of an image."""
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        CifarCNN()(torch.zeros(2, 3, 28, 28))
