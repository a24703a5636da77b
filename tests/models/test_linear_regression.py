"""Gradient descent and Adam step by step, checked against autograd and torch's own optimizers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bigmodel_lab.models import MODELS
from bigmodel_lab.models.linear_regression import Adam, LinearRegression, mse_gradient, worked_example

POINTS = ((1.0, 3.0), (2.0, 5.0), (3.0, 7.0))
X, Y = torch.tensor(POINTS, dtype=torch.float64).T


def line() -> LinearRegression:
    """The model as it starts, in float64, from the very decimals of the document."""
    model = LinearRegression().double()
    with torch.no_grad():
        model.b.fill_(0.1)
    return model


def test_it_starts_where_the_document_does():
    """Slope 0.5 and intercept 0.1, whatever the seed."""
    model = MODELS.get("linear_regression").create(seed=7)

    assert {name: p.item() for name, p in model.named_parameters()} == {"w": 0.5, "b": pytest.approx(0.1, abs=1e-8)}


def test_the_output_has_the_shape_of_the_points():
    """A batch (B, 1) gives predictions (B, 1), on the line."""
    assert line()(torch.tensor([[0.0], [2.0]], dtype=torch.float64)).tolist() == [[0.1], [1.1]]


@pytest.mark.parametrize(("w", "b"), [(0.5, 0.1), (-3.0, 2.0), (2.0, 1.0)])
def test_the_gradient_is_that_of_autograd(w: float, b: float):
    """∂J/∂w and ∂J/∂b by formula agree with autograd to 1e-6, also where both are 0."""
    slope, intercept = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (w, b))
    F.mse_loss(slope * X + intercept, Y).backward()

    assert mse_gradient(w, b, POINTS) == pytest.approx((slope.grad.item(), intercept.grad.item()), abs=1e-6)


def test_gradient_descent_is_that_of_torch():
    """Ten steps by formula end where ``torch.optim.SGD`` does."""
    model = line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    w, b = 0.5, 0.1
    for _ in range(10):
        optimizer.zero_grad()
        F.mse_loss(model(X), Y).backward()
        optimizer.step()
        slope, intercept = mse_gradient(w, b, POINTS)
        w, b = w - 0.01 * slope, b - 0.01 * intercept

    assert (w, b) == pytest.approx((model.w.item(), model.b.item()), abs=1e-9)


def test_adam_is_that_of_torch():
    """Fifty steps written out end where ``torch.optim.Adam`` does, from the same gradients."""
    weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=0.01, betas=(0.9, 0.999), eps=1e-8)
    state, w = Adam(), 0.5
    for gradient in torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64).tolist():
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        state = state.step(gradient)
        w += state.change

    assert w == pytest.approx(weight.item(), abs=1e-12)
    assert state.steps == 50


def test_adam_keeps_its_settings():
    """A step changes the moments and nothing else."""
    state = Adam(learning_rate=0.5, beta1=0.5, beta2=0.25, epsilon=1e-3).step(2.0)

    assert (state.learning_rate, state.beta1, state.beta2, state.epsilon) == (0.5, 0.5, 0.25, 1e-3)
    assert (state.m, state.v) == (1.0, 3.0)


def test_a_gradient_of_zero_moves_nothing():
    """ε keeps the quotient finite."""
    assert Adam().step(0.0).change == 0


def test_the_line_is_found_at_the_documented_setting():
    """Full-batch gradient descent at 0.01 comes to the line within the default number of epochs."""
    card = MODELS.get("linear_regression")
    model = card.create(seed=0)
    x = torch.linspace(-2, 2, 401).unsqueeze(1)
    y = 2 * x + 1
    optimizer = torch.optim.SGD(model.parameters(), lr=card.defaults.learning_rate)
    for _ in range(card.defaults.epochs):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    assert (model.w.item(), model.b.item()) == pytest.approx((2, 1), abs=0.01)


def test_the_defaults_take_all_points_at_once():
    """The batch holds every training point of the data set that the model trains on."""
    assert MODELS.get("linear_regression").defaults.micro_batch_size >= 500


# ---------------------------------------------------------------- the worked example


def value(formula: str) -> float:
    """The number behind a formula of the worked example."""
    (found,) = (row for row in worked_example().splitlines() if f". {formula} = " in row)
    return float(found.split("=")[-1])


def below(formula: str) -> list[str]:
    """The lines below a formula, up to the next."""
    rows = worked_example().splitlines()
    at = next(i for i, row in enumerate(rows) if f". {formula} = " in row)
    return [row.strip() for row in rows[at + 1 : at + 3]]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("J", 16.71),
        ("∂J/∂w", -17.6),
        ("∂J/∂b", -7.8),
        ("w1 = w0 - α·∂J/∂w", 0.676),
        ("b1", 0.178),
    ],
)
def test_the_step_of_gradient_descent_is_shown(formula: str, expected: float):
    """Loss, gradients and the two numbers after one step on the three points."""
    assert value(formula) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("formula", "expected", "printed"),
    [
        ("v1", 1e-5, "0.001"),
        ("w1 = w0 - α·m̂1 / (√v̂1 + ε)", 0.51, "0.4995"),
        ("m2", -0.011, "-0.012"),
        ("v2", 1.039e-5, "0.0012"),
        ("w2", 0.51803, "0.499"),
    ],
)
def test_the_right_number_stands_above_the_printed_one(formula: str, expected: float, printed: str):
    """Each number of Adam that the document has wrong is shown right, with the printed one below it."""
    assert value(formula) == pytest.approx(expected, abs=1e-6)
    assert below(formula)[0] == f"The document prints: {printed}"


def test_what_the_document_has_right_stands_alone():
    """m1 = -0.01 is printed correctly, so nothing is said about it."""
    assert value("m1") == -0.01
    assert not below("m1")[0].startswith("The document")


def test_the_wrong_gradient_is_named():
    """The printed formula of the gradient stands below the right one, with the reason."""
    printed, reason = below("∂J/∂w")

    assert "w·ŷ - y" in printed
    assert "factor x" in reason
