"""The building block of the convolutional subjects."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.subjects._images import classification_loss, labelled_images
from bigmodel_lab.subjects._layers import conv_norm


@pytest.mark.parametrize("kernel", [1, 3, 7, (1, 7), (3, 1)])
def test_stride_1_keeps_the_size(kernel: int | tuple[int, int]):
    """Half a window of zeros stands around the image."""
    assert conv_norm(2, 5, kernel)(torch.zeros(1, 2, 8, 6)).shape == (1, 5, 8, 6)


def test_stride_and_padding_are_as_asked_for():
    """Without padding the window stays inside."""
    assert conv_norm(2, 5, 3, stride=2, padding=0)(torch.zeros(1, 2, 9, 7)).shape == (1, 5, 4, 3)


def test_the_convolution_has_no_bias():
    """The normalization after it would take it away again."""
    conv, norm = conv_norm(2, 5, 3, eps=1e-3)

    assert conv.bias is None
    assert norm.eps == 1e-3


def test_the_activation_comes_last():
    """None is none."""
    activation = nn.SiLU()

    assert conv_norm(2, 5, 3, activation)[-1] is activation
    assert len(conv_norm(2, 5, 3)) == 2


def test_the_loss_of_a_classifier_that_knows_nothing_is_the_log_of_its_classes():
    """Equal scores are equal chances."""
    batch = labelled_images(4, height=2, width=2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 10, bias=False))  # the images are zeros, and so are the scores

    assert float(classification_loss(model, batch).detach()) == pytest.approx(2.302585, abs=1e-4)
