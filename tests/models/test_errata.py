"""What the documents got wrong, proved by autograd or by torch's own function; one test an erratum."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.models import MODELS
from bigmodel_lab.models.linear_regression import Adam
from bigmodel_lab.models.relu_342 import ReLU342, half_squared_error
from bigmodel_lab.models.sigmoid_342 import Sigmoid342, binary_cross_entropy
from bigmodel_lab.models.transformer import Transformer

MODELS_WITH_ERRATA = (
    "bilstm_text",
    "linear_regression",
    "relu_342",
    "scratch_mlp",
    "sigmoid_342",
    "transformer",
)
X = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
Y = torch.eye(2, dtype=torch.float64)  # one-hot of the labels 0 and 1
Z = torch.tensor([[-1.5, 0.4], [2.0, -0.3]], dtype=torch.float64)
CLOSE = {"rtol": 0.0, "atol": 1e-6}


def derivative(function: object, x: Tensor) -> Tensor:
    """What autograd finds for the sum of the function's values."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x)  # type: ignore[operator]
    return gradient


@pytest.mark.parametrize("name", MODELS_WITH_ERRATA)
def test_errata_stand_beside_the_model(name: str):
    """The card of each model says what its document got wrong, each in a text of its own."""
    errata = MODELS.get(name).errata

    assert len(errata) >= 2
    assert len({e.key for e in errata}) == len(errata)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("bilstm_text", "1 - tanh²(x)"),
        ("linear_regression", "factor x"),
        ("linear_regression", "w₁ = 0.51"),
        ("relu_342", "1 is its derivative"),
        ("scratch_mlp", "it is a - y"),
        ("sigmoid_342", "3×4 and four biases"),
        ("sigmoid_342", "never below 0"),
        ("transformer", "softmax(Q·Kᵀ/√d)·V"),
    ],
)
def test_the_errata_of_the_reference_are_named(name: str, word: str):
    """Each erratum that the project knows of these documents is said in so many words."""
    assert any(word in str(erratum) for erratum in MODELS.get(name).errata)


# ---------------------------------------------------------------- D0


def test_d0_the_derivative_of_tanh():
    """tanh′(x) is 1 - tanh²(x), and not (1 + tanh²(x)) / 2(1 - tanh²(x)) as printed."""
    found = derivative(torch.tanh, Z)
    squared = torch.tanh(Z) ** 2

    torch.testing.assert_close(found, 1 - squared, **CLOSE)
    assert (found - (1 + squared) / (2 * (1 - squared))).abs().min() > 0.1


# ---------------------------------------------------------------- D1


def test_d1_weights_of_the_hidden_layer():
    """Three inputs and four units need 3×4 weights and four biases; the printed 3×3 does not fit W2 of 4×2."""
    model = Sigmoid342()

    assert tuple(model.hidden.weight.shape) == (3, 4)
    assert tuple(model.hidden.bias.shape) == (4,)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.zeros(2, 3) @ model.output.weight.detach()


def test_d1_outputs_follow_from_the_data():
    """Two samples give two rows of outputs, none of which is among the four printed ones."""
    output = Sigmoid342()(X.float())
    printed = torch.tensor([[0.6, 0.53], [0.4, 0.36], [0.2, 0.15], [0.1, 0.05]])

    assert output.shape == (2, 2)
    assert torch.cdist(output, printed).min() > 0.1


def test_d1_a_cross_entropy_is_never_negative():
    """No output between 0 and 1 makes it less than 0, so that -0.693 cannot be one."""
    output = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0))
    losses = torch.stack([binary_cross_entropy(row, torch.tensor([0])) for row in output.split(1)])

    assert losses.min() >= 0
    assert binary_cross_entropy(torch.eye(2), torch.tensor([0, 1])) == 0


def test_d1_labels_as_rows():
    """The labels [0 1] are [[1 0], [0 1]], and not the document's [[0 1], [1 0]]."""
    model = Sigmoid342()
    model.backward_by_hand(model(X.float()), torch.tensor([0, 1]), share=1.0)

    assert model.values["y"].tolist() == [[1, 0], [0, 1]]


def test_d1_the_delta_of_sigmoid_and_cross_entropy():
    """It is a - y; with the sigmoid's derivative multiplied into it, it is another."""
    a = torch.sigmoid(Z)
    found = derivative(lambda z: F.binary_cross_entropy(torch.sigmoid(z), Y, reduction="sum"), Z)

    torch.testing.assert_close(found, a - Y, **CLOSE)
    assert ((1 - a) * a * (a - Y) - found).abs().min() > 0.1


def test_d1_the_delta_of_softmax_and_cross_entropy():
    """With the softmax of ``scratch_mlp`` it is a - y as well."""
    found = derivative(lambda z: F.cross_entropy(z, torch.tensor([0, 1]), reduction="sum"), Z)

    torch.testing.assert_close(found, torch.softmax(Z, 1) - Y, **CLOSE)


def test_d1_the_printed_delta_is_that_of_a_squared_error():
    """(1 - a)·a·(a - y) is what autograd finds for half the squared distance."""
    a = torch.sigmoid(Z)
    found = derivative(lambda z: (torch.sigmoid(z) - Y).square().sum() / 2, Z)

    torch.testing.assert_close(found, (1 - a) * a * (a - Y), **CLOSE)


def test_d1_the_loss_of_one_sigmoid_does_not_see_the_others():
    """-log a[label] leaves the outputs of the other classes without any gradient; a softmax does not."""
    sigmoid = derivative(lambda z: -torch.sigmoid(z)[:, 0].log(), Z)
    softmax = derivative(lambda z: -torch.softmax(z, 1)[:, 0].log(), Z)

    assert sigmoid[:, 1].count_nonzero() == 0
    assert softmax[:, 1].count_nonzero() == 2


def test_d1_a_gradient_multiplies_delta_by_what_the_layer_was_given():
    """∂L/∂W is aᵀ·δ of the layer before; with the layer's own outputs it has another shape."""
    model = MODELS.get("scratch_mlp").create(seed=0, features=3, classes=2, hidden=5)
    model.backward_by_hand(model(X.float()), torch.tensor([0, 1]), share=1.0)
    v = model.values

    torch.testing.assert_close(v["grad_W3"], v["a2"].T @ v["delta3"] / 2)
    assert (v["a3"].T @ v["delta3"]).shape != model.layer3.weight.shape


def test_d1_only_the_first_layer_sees_the_data():
    """X·W of the second layer does not even fit: it has five rows, X three columns."""
    model = MODELS.get("scratch_mlp").create(seed=0, features=3, classes=2, hidden=5)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        X.float() @ model.layer2.weight.detach()


def test_d1_the_slope_of_the_sigmoid():
    """It is at most 0.25, at 0: the document's 0.3 cannot be one."""
    slopes = derivative(torch.sigmoid, torch.linspace(-5, 5, 101, dtype=torch.float64))

    assert slopes.max().item() == pytest.approx(0.25, abs=1e-6)


def test_d1_what_is_subtracted_has_the_shape_of_the_weights():
    """Xᵀ·δ1 fits W1, δ1 itself does not."""
    model = Sigmoid342()
    model.backward_by_hand(model(X.float()), torch.tensor([0, 1]), share=1.0)

    assert model.values["grad_W1"].shape == model.hidden.weight.shape
    assert model.values["delta1"].shape != model.hidden.weight.shape


def test_d1_value_and_derivative_of_relu():
    """For x > 0 the value is x and the derivative is 1."""
    x = torch.tensor([0.5, 3.0], dtype=torch.float64)

    assert torch.equal(ReLU342.activation(x), x)
    assert torch.equal(derivative(torch.relu, x), torch.ones(2, dtype=torch.float64))
    assert torch.equal(ReLU342.slope(x, x), torch.ones(2, dtype=torch.float64))


# ---------------------------------------------------------------- D2


def test_d2_the_gradient_of_the_squared_error():
    """It is 2·(ŷ - y)·x, and not 2·(w·ŷ - y)."""
    w = torch.tensor(0.5, dtype=torch.float64)
    x, y = torch.tensor([[1.0, 3.0], [2.0, 5.0], [3.0, 7.0]], dtype=torch.float64).T
    predicted = w * x + 0.1
    found = derivative(lambda w: ((w * x + 0.1 - y) ** 2).mean(), w)

    torch.testing.assert_close(found, (2 * (predicted - y) * x).mean(), **CLOSE)
    assert abs(found - (2 * (w * predicted - y)).mean()) > 1


@pytest.mark.parametrize("gradient", [-0.1, 1e-4, 25.0])
def test_d2_the_first_step_of_adam(gradient: float):
    """Whatever the gradient's size, it is the learning rate against its sign; torch does the same."""
    weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    weight.grad = torch.tensor(gradient, dtype=torch.float64)
    torch.optim.Adam([weight], lr=0.01).step()

    step = Adam().step(gradient).change
    assert step == pytest.approx(-0.01 if gradient > 0 else 0.01, abs=1e-5)
    assert weight.item() == pytest.approx(0.5 + step, abs=1e-12)


def test_d2_the_second_moment():
    """v₁ is (1 - β₂)·g² = 0.00001, and not 0.001."""
    assert Adam().step(-0.1).v == pytest.approx(1e-5, abs=1e-12)


def test_d2_attention_has_a_softmax():
    """softmax(Q·Kᵀ/√d)·V is what torch computes; Q·Kᵀ/√d ⊙ V does not even fit."""
    query, key, value = torch.randn(3, 2, 8, 5, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = query @ key.transpose(-2, -1) / 64**0.5

    torch.testing.assert_close(
        F.scaled_dot_product_attention(query, key, value), torch.softmax(scores, -1) @ value, **CLOSE
    )
    with pytest.raises(RuntimeError, match="must match"):
        scores * value


def test_d2_without_a_position_the_order_is_lost():
    """With the positions at 0 a text and its reverse have the same scores; with them they differ."""
    torch.manual_seed(0)
    model = Transformer(50, 3, 6, "classification", layers=1, feed_forward=16).eval()
    tokens = torch.tensor([[3, 9, 4, 8, 5, 7]])

    with torch.no_grad():
        assert (model(tokens) - model(tokens.flip(1))).abs().max() > 1e-4
        model.position.weight.zero_()
        torch.testing.assert_close(model(tokens), model(tokens.flip(1)), rtol=0, atol=1e-5)


# ---------------------------------------------------------------- D4


def test_d4_the_sign_of_the_output_delta():
    """δ2 is (a2 - y) ⊙ ReLU′(z2), minus what is printed."""
    model = ReLU342().double()
    model.backward_by_hand(model(X), torch.tensor([0, 1]), share=1.0)
    found = derivative(lambda z: (torch.relu(z) - Y).square().sum() / 2, model.values["z2"])

    torch.testing.assert_close(model.values["delta2"], found, **CLOSE)
    printed = (Y - model.values["a2"]) * (model.values["z2"] > 0)
    torch.testing.assert_close(-printed, found, **CLOSE)


def test_d4_a_step_with_the_printed_sign_climbs():
    """Subtracting what is printed makes the loss larger, subtracting the gradient makes it smaller."""
    losses = {}
    for sign in (1, -1):
        model = ReLU342()
        model.backward_by_hand(model(X.float()), torch.tensor([0, 1]), share=1.0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(sign * 0.01 * parameter.grad)
        losses[sign] = half_squared_error(model(X.float()), torch.tensor([0, 1])).item()

    start = half_squared_error(ReLU342()(X.float()), torch.tensor([0, 1])).item()
    assert losses[1] < start < losses[-1]


def test_d4_the_hidden_delta_takes_the_slope_of_the_activation():
    """δ1 is W2ᵀ·δ2 ⊙ ReLU′(z1); ∂z1/∂a0 is W1, which has another shape than δ1."""
    model = ReLU342().double()
    model.backward_by_hand(model(X), torch.tensor([0, 1]), share=1.0)
    weight, bias = model.output.weight.detach(), model.output.bias.detach()
    found = derivative(lambda z: (torch.relu(torch.relu(z) @ weight + bias) - Y).square().sum() / 2, model.values["z1"])

    torch.testing.assert_close(model.values["delta1"], found, **CLOSE)
    assert model.values["delta1"].shape != model.hidden.weight.shape


def test_d4_the_chain_rule():
    """δ is ∂L/∂a ⊙ ∂a/∂z, and not ∂L/∂z ⊙ ∂z/∂a: for one sigmoid the two differ."""
    z = 0.7
    a = 1 / (1 + exp(-z))
    loss_by_a, a_by_z = -1 / a, a * (1 - a)
    found = derivative(lambda z: -torch.sigmoid(z).log(), torch.tensor(z, dtype=torch.float64))

    assert found.item() == pytest.approx(loss_by_a * a_by_z, abs=1e-6)
    assert found.item() != pytest.approx(found.item() / a_by_z, abs=1e-2)
    assert -log(a) > 0
