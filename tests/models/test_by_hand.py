"""Gradients that are written down as formulas are those that autograd finds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import isclose

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models import MODELS, HandWritten
from bigmodel_lab.models._by_hand import Dense, one_hot
from bigmodel_lab.models._worked import Shown, as_text
from bigmodel_lab.models.relu_342 import ReLU342, half_squared_error
from bigmodel_lab.models.relu_342 import worked_example as worked_relu
from bigmodel_lab.models.scratch_mlp import ScratchMLP
from bigmodel_lab.models.scratch_mlp import worked_example as worked_scratch
from bigmodel_lab.models.sigmoid_342 import Sigmoid342, binary_cross_entropy
from bigmodel_lab.models.sigmoid_342 import worked_example as worked_sigmoid

BY_HAND = ("scratch_mlp", "sigmoid_342", "relu_342")
X = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
LABELS = torch.tensor([0, 1])
TIGHT = {"rtol": 0.0, "atol": 1e-6}


def twin(model: nn.Module, activation: Callable[[Tensor], Tensor], *, last: bool) -> Callable[[Tensor], Tensor]:
    """The same network for autograd, in torch's own functions; ``last`` activates the outputs too."""
    layers = [part for part in model.children() if isinstance(part, Dense)]

    def forward(x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        for layer in layers:
            z = F.linear(x, layer.weight.T, layer.bias)
            x = activation(z) if last or layer is not layers[-1] else z
        return x

    return forward


def case(name: str) -> tuple[nn.Module, Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]:
    """Model, its twin for autograd, its loss, and 16 random samples with labels, all in float64."""
    card = MODELS.get(name)
    sizes = {"features": 12, "classes": 4, "hidden": 5} if name == "scratch_mlp" else {}
    model = card.create(seed=3, **sizes).double()
    numbers = torch.Generator().manual_seed(4)
    x = torch.randn(16, 12 if sizes else 3, generator=numbers, dtype=torch.float64)
    y = torch.randint(4 if sizes else 2, (16,), generator=numbers)
    activation = torch.relu if name == "relu_342" else torch.sigmoid
    return model, twin(model, activation, last=not sizes), card.loss or F.cross_entropy, x, y


@pytest.mark.parametrize("name", BY_HAND)
def test_output_is_that_of_torch(name: str):
    """The forward pass by hand gives what torch's own functions give."""
    model, reference, _, x, _ = case(name)

    torch.testing.assert_close(model(x), reference(x).detach(), **TIGHT)


@pytest.mark.parametrize("name", BY_HAND)
def test_every_gradient_is_that_of_autograd(name: str):
    """Each gradient by hand agrees with autograd to 1e-6 in float64."""
    model, reference, loss, x, y = case(name)
    wanted = torch.autograd.grad(loss(reference(x), y), list(model.parameters()))

    model.backward_by_hand(model(x), y, share=1.0)

    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **TIGHT)
        assert gradient.abs().max() > 1e-3  # or the comparison would say nothing


@pytest.mark.parametrize("name", BY_HAND)
def test_micro_batches_add_up(name: str):
    """Two unequal micro-batches, weighted by their share, give the gradient of the whole."""
    model, reference, loss, x, y = case(name)
    wanted = torch.autograd.grad(loss(reference(x), y), list(model.parameters()))

    model.backward_by_hand(model(x[:12]), y[:12], share=0.75)
    model.backward_by_hand(model(x[12:]), y[12:], share=0.25)

    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **TIGHT)


@pytest.mark.parametrize("name", BY_HAND)
def test_autograd_takes_no_part(name: str):
    """The output carries no graph, although the parameters could be differentiated."""
    model, _, _, x, _ = case(name)

    assert isinstance(model, HandWritten)
    assert not model(x).requires_grad


@pytest.mark.parametrize("name", BY_HAND)
def test_a_frozen_layer_gets_no_gradient(name: str):
    """A parameter that shall not learn is left alone, the others get theirs."""
    model, _, _, x, y = case(name)
    first, *others = model.parameters()
    first.requires_grad_(False)

    model.backward_by_hand(model(x), y, share=1.0)

    assert first.grad is None
    assert all(p.grad is not None for p in others)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_step_along_the_gradient_lowers_the_loss(name: str):
    """Gradient descent with these gradients does what it is meant to."""
    model, _, loss, x, y = case(name)
    before = loss(model(x), y)
    model.backward_by_hand(model(x), y, share=1.0)

    torch.optim.SGD(model.parameters(), lr=1e-2).step()

    assert loss(model(x), y) < before


@pytest.mark.parametrize("name", BY_HAND)
def test_a_model_that_has_computed_can_be_copied(name: str):
    """What is kept of a pass, even of one in inference mode, does not hinder a copy."""
    model, _, _, x, _ = case(name)
    with torch.inference_mode():
        expected = model(x)

    assert torch.equal(copy.deepcopy(model)(x), expected)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("scratch_mlp", {"a0", "z1", "a1", "z2", "a2", "z3", "a3", "y", "delta3", "delta2", "delta1"}),
        ("sigmoid_342", {"x", "z1", "a1", "z2", "a2", "y", "delta2", "delta1"}),
        ("relu_342", {"x", "z1", "a1", "z2", "a2", "y", "delta2", "delta1"}),
    ],
)
def test_every_intermediate_value_is_kept(name: str, own: set[str]):
    """After a pass ``values`` holds each number of the formulas, and the gradients that were added."""
    model, _, _, x, y = case(name)
    model.backward_by_hand(model(x), y, share=1.0)
    layers = len(list(model.children()))

    gradients = {f"grad_{kind}{k}" for kind in "Wb" for k in range(1, layers + 1)}
    assert own | gradients == set(model.values)
    assert [n for n, v in model.values.items() if not torch.isfinite(v).all()] == []
    assert torch.equal(model.values["grad_W1"], next(model.parameters()).grad)


def test_the_layer_starts_as_glorot_says():
    """The weights lie within ±√(6 / (inputs + units)) and reach far into it; the biases are 0."""
    layer = Dense(40, 60)
    bound = (6 / 100) ** 0.5

    assert bound * 0.95 < layer.weight.abs().max() <= bound
    assert layer.bias.count_nonzero() == 0


def test_one_hot_has_the_number_format_of_the_scores():
    """Labels in float64 for scores in float64."""
    assert one_hot(LABELS, torch.zeros(2, 2, dtype=torch.float64)).dtype == torch.float64


# ---------------------------------------------------------------- sizes and starts


def test_scratch_mlp_takes_features_and_classes():
    """It has the layers that the data asks for, between which stand 64 units."""
    model = MODELS.get("scratch_mlp").create(seed=0, features=30, classes=3)

    assert [tuple(p.shape) for p in model.parameters() if p.ndim == 2] == [(30, 64), (64, 64), (64, 3)]


def test_scratch_mlp_flattens_images():
    """An image counts as the row of its pixels."""
    model = ScratchMLP()
    x = torch.rand(2, 1, 28, 28)

    assert torch.equal(model(x), model(x.reshape(2, 784)))


def test_sigmoid_342_starts_from_the_documents_numbers():
    """What the document prints stands in the first three columns; W2 and b2 are whole."""
    model = Sigmoid342()

    printed = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])
    assert torch.equal(model.hidden.weight[:, :3], printed)
    assert torch.equal(model.hidden.bias[:3], torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(model.output.weight, torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]]))
    assert torch.equal(model.output.bias, torch.tensor([0.1, 0.2]))


def test_relu_342_starts_with_units_on_and_off():
    """Each sample finds some hidden units on and some off, and both outputs on, so that it can learn."""
    model = ReLU342()
    model(X)

    on = model.values["a1"] > 0
    assert on.any(1).all()
    assert not on.all(1).any()
    assert (model.values["a2"] > 0).all()


@pytest.mark.parametrize("name", ["sigmoid_342", "relu_342"])
def test_the_two_samples_are_learned_at_the_documented_setting(name: str):
    """Plain gradient descent over the default number of epochs tells the two samples apart."""
    card = MODELS.get(name)
    model = card.create(seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=card.defaults.learning_rate)

    for _ in range(card.defaults.epochs):
        optimizer.zero_grad()
        model.backward_by_hand(model(X), LABELS, share=1.0)
        optimizer.step()

    assert card.loss(model(X), LABELS) < 0.05
    assert torch.equal(model(X).argmax(1), LABELS)


# ---------------------------------------------------------------- losses


def test_binary_cross_entropy_adds_the_outputs():
    """It is the mean over the samples of torch's loss added over both outputs."""
    output = torch.tensor([[0.9, 0.2], [0.4, 0.7]])

    wanted = -(torch.tensor([0.9 * 0.8, 0.6 * 0.7])).log().mean()
    torch.testing.assert_close(binary_cross_entropy(output, LABELS), wanted)


def test_binary_cross_entropy_of_a_saturated_output_is_finite():
    """An output of exactly 0 or 1 does not make the loss infinite."""
    assert torch.isfinite(binary_cross_entropy(torch.tensor([[0.0, 1.0]]), torch.tensor([0])))


def test_half_squared_error_is_half_of_torchs_sum():
    """It is half of the sum of squares, divided by the samples."""
    output = torch.tensor([[0.9, 0.2], [0.4, 0.7]])

    wanted = F.mse_loss(output, torch.eye(2), reduction="sum") / 4
    torch.testing.assert_close(half_squared_error(output, LABELS), wanted)


# ---------------------------------------------------------------- worked examples


def test_the_sigmoid_example_shows_the_right_loss_beside_the_printed_one():
    """The loss is 1.96284; the document's -0.693 stands below it with the reason."""
    lines = worked_sigmoid().splitlines()
    at = next(i for i, line in enumerate(lines) if "L = -(1/m)" in line)

    assert isclose(float(lines[at].split("=")[-1]), 1.96284, abs_tol=1e-5)
    assert "-0.693" in lines[at + 1]
    assert "never below 0" in lines[at + 2]


def test_the_sigmoid_example_shows_numbers_that_anyone_can_check():
    """z1 of the two samples is 0.9 1.2 1.5 1.8 and 0.6 0.9 1.2 1.5."""
    lines = worked_sigmoid().splitlines()
    at = next(i for i, line in enumerate(lines) if "z1 = X·W1 + b1" in line)

    assert lines[at + 1].split() == ["0.9000", "1.2000", "1.5000", "1.8000"]
    assert lines[at + 2].split() == ["0.6000", "0.9000", "1.2000", "1.5000"]


def test_the_relu_example_shows_the_right_delta_beside_the_printed_one():
    """δ2 of the first sample is -0.8 0.39; the document's formula has the other sign."""
    lines = worked_relu().splitlines()
    at = next(i for i, line in enumerate(lines) if "δ2 = (a2 - y)" in line)

    assert lines[at + 1].split() == ["-0.8000", "0.3900"]
    assert "(y - a2)" in lines[at + 3]
    assert "wrong sign" in lines[at + 4]


def test_the_relu_example_shows_no_negative_zero():
    """A gradient that does not pass is shown as 0.0000."""
    assert "-0.0000" not in worked_relu()


def test_the_scratch_example_shows_the_right_delta_beside_the_printed_one():
    """δ3 is a3 - y; the document's (1 - a)·a·(a - y) stands below it with the reason."""
    text = worked_scratch()

    assert "δ3 = a3 - y" in text
    assert "The document prints: (1 - a)·a·(a - y)" in text
    assert "squared error" in text


@pytest.mark.parametrize("worked", [worked_sigmoid, worked_relu, worked_scratch])
def test_an_example_shows_every_gradient(worked: Callable[[], str]):
    """Every weight and every bias has its gradient in the text."""
    text = worked()

    assert [p for p in ("W1", "b1", "W2", "b2") if f"∂L/∂{p} = " not in text] == []


def test_an_example_of_342_ends_with_the_weights_after_the_step():
    """The last number of b2 is what SGD makes of it."""
    model = Sigmoid342()
    model.backward_by_hand(model(X), LABELS, share=1.0)
    torch.optim.SGD(model.parameters(), lr=0.5).step()

    wanted = [f"{number:.4f}" for number in model.output.bias.tolist()]
    assert worked_sigmoid().splitlines()[-1].split() == wanted


def test_a_step_shows_its_erratum_below_what_is_printed():
    """Formula and value, then the printed number, then the reason, each on a line."""
    steps = [Shown("a = 1 + 1", 2.0, "3", Text("test.erratum", "One and one is two.")), Shown("b", torch.ones(1, 2))]

    assert as_text("Title", steps).splitlines() == [
        "Title",
        "",
        " 1. a = 1 + 1 = 2",
        "    The document prints: 3",
        "    One and one is two.",
        " 2. b",
        "         1.0000    1.0000",
    ]
