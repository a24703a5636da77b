"""The convolution of the formula against `conv2d`: the same numbers and the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.models.conv_by_definition import MODEL, ConvolutionByDefinition, convolve

SHAPES = [  # samples, C, H, W, O, kernel height, kernel width
    (2, 1, 28, 28, 16, 3, 3),
    (3, 3, 9, 7, 4, 5, 2),
    (1, 2, 4, 4, 1, 4, 4),
    (2, 2, 5, 6, 3, 1, 1),
]


def inputs(shape: tuple[int, ...]) -> list[Tensor]:
    """Images, kernels and biases in double precision, all asking for gradients."""
    samples, c, h, w, o, height, width = shape
    made = torch.Generator().manual_seed(0)
    shapes = [(samples, c, h, w), (o, c, height, width), (o,)]
    return [torch.randn(s, generator=made, dtype=torch.float64).requires_grad_() for s in shapes]


@pytest.mark.parametrize("shape", SHAPES)
def test_output_equals_conv2d(shape):
    """Any number of colours, kernels and places, square or not."""
    x, weight, bias = inputs(shape)

    torch.testing.assert_close(convolve(x, weight, bias), F.conv2d(x, weight, bias), atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_those_of_conv2d(shape):
    """Images, kernels and biases get the same gradients."""
    tensors = inputs(shape)
    share = torch.randn_like(F.conv2d(*tensors))
    by_definition, by_torch = (torch.autograd.grad((f(*tensors) * share).sum(), tensors) for f in (convolve, F.conv2d))

    for found, expected in zip(by_definition, by_torch, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-11, rtol=0)


def test_one_place_is_the_sum_of_the_formula():
    """Written out for u = 1, v = 2: four products of pixel and weight, added."""
    x, w = torch.arange(16.0).reshape(1, 1, 4, 4), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = sum(x[0, 0, 1 + i, 2 + j] * w[0, 0, i, j] for i in range(2) for j in range(2))

    assert convolve(x, w)[0, 0, 1, 2] == expected == 6 * 1 + 7 * 2 + 10 * 3 + 11 * 4


def test_without_bias_nothing_is_added():
    """Black images stay black."""
    assert not convolve(torch.zeros(1, 1, 5, 5), torch.ones(2, 1, 3, 3)).any()


def test_printed_formula_gives_one_number_everywhere():
    """Without the shift nothing on the right side depends on the place: the printed sum is no picture."""
    x, w, _ = inputs((1, 1, 6, 6, 1, 3, 3))
    printed = sum(x[0, 0, i, j] * w[0, 0, i, j] for i in range(3) for j in range(3))
    right = F.conv2d(x, w)[0, 0]

    torch.testing.assert_close(printed, right[0, 0])
    assert not torch.isclose(right.flatten()[1:], printed).any()


def test_layer_has_the_weights_of_conv2d():
    """Drawn from one seed, the layer and PyTorch's give the same output."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        by_definition = ConvolutionByDefinition(1, 4, kernel_size=3)
        torch.manual_seed(3)
        by_torch = torch.nn.Conv2d(1, 4, kernel_size=3)
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(by_definition(x), by_torch(x))


def test_network_learns_as_with_conv2d(monkeypatch):
    """Ten steps of Adam end at the weights of the same network with PyTorch's layer."""
    by_definition = trained()
    monkeypatch.setattr(ConvolutionByDefinition, "forward", torch.nn.Conv2d.forward)

    torch.testing.assert_close(by_definition, trained(), atol=1e-10, rtol=0)


def trained() -> Tensor:
    """The weights after ten steps in double precision, on noise."""
    model = MODEL.create(seed=0).double()
    made = torch.Generator().manual_seed(1)
    x = torch.rand(4, 1, 28, 28, generator=made, dtype=torch.float64)
    y = torch.randint(10, (4,), generator=made)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()
