"""A straight line through points: the smallest thing that gradient descent can learn.

Idea: two numbers, slope w and intercept b, are moved against the gradient of the mean
squared error until the line lies among the points. :func:`worked_example` does the
document's two examples step by step: gradient descent, and Adam on the gradients -0.1
and -0.02, with the right numbers beside the printed ones.

Shapes of one sample::

    x 1 → ŷ = w·x + b  1

    J = (1/m)·Σ (ŷ - y)²,  ∂J/∂w = (2/m)·Σ (ŷ - y)·x,  ∂J/∂b = (2/m)·Σ (ŷ - y)
    gradient descent: w ← w - α·∂J/∂w
    Adam: m ← β₁·m + (1 - β₁)·g,  v ← β₂·v + (1 - β₂)·g²,
          w ← w - α·m̂ / (√v̂ + ε)  with  m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)

Source: D2 (002_8600cd622cea1d62), mathematical models, sections 1 and 2: w₀ = 0.5, b₀ = 0.1,
α = 0.01, β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸; Adam: Kingma and Ba 2015, algorithm 1. The document
gives no points: those of the worked example are chosen here.

Errata, each proved in ``tests/models/test_errata.py``:

- The gradient of the squared error is printed as 2·(w·ŷ - y). It is 2·(ŷ - y)·x, as the
  document's own example has it.
- v₁ is printed as 0.001. (1 - 0.999)·0.1² is 0.00001.
- w₁ is printed as 0.4995: without the correction of the moments, and moved the wrong way. The
  first step of Adam is α·sign(g) whatever the size of g, so w₁ = 0.51.
- m₂, v₂ and w₂ are printed as -0.012, 0.0012 and 0.499; they are -0.011, 0.00001039 and 0.51803.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import Tensor, nn

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.models._worked import Shown, as_text
from bigmodel_lab.models.base import Defaults, ModelCard

W0, B0, LEARNING_RATE = 0.5, 0.1, 0.01
"""Where the document starts, and its step width."""
_POINTS = ((1.0, 3.0), (2.0, 5.0), (3.0, 7.0))  # on y = 2·x + 1
_GRADIENTS = (-0.1, -0.02)  # of the document's two steps of Adam

_GRADIENT = Text(
    "model.linear_regression.erratum_gradient",
    "The document's general gradient has w·ŷ where ŷ belongs, and lacks the factor x; its own example has it right.",
)
_V1 = Text("model.linear_regression.erratum_v1", "(1 - β₂)·g² is 0.001·0.01 = 0.00001.")
_W1 = Text(
    "model.linear_regression.erratum_w1",
    "The document leaves out the correction of the moments and moves the wrong way. The first step of Adam is "
    "α·sign(g), so w₁ = 0.51.",
)
_STEP2 = Text(
    "model.linear_regression.erratum_step2",
    "The document's second step of Adam has wrong sums too: m₂ is -0.011, v₂ is 0.00001039, w₂ is 0.51803.",
)


class LinearRegression(nn.Module):
    """One line: slope and intercept, which start at 0.5 and 0.1 whatever the seed."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(W0))
        self.b = nn.Parameter(torch.tensor(B0))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions ŷ for a batch (B, 1)."""
        return self.w * x + self.b  # (B, 1)


def mse_gradient(w: float, b: float, points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """∂J/∂w and ∂J/∂b of the mean squared error.

    Args:
        w: Slope.
        b: Intercept.
        points: (x, y), at least one.

    >>> mse_gradient(1.0, 0.0, [(2.0, 5.0)])
    (-12.0, -6.0)
    """
    errors = [w * x + b - y for x, y in points]
    slope = sum(2 * error * x for error, (x, _) in zip(errors, points, strict=True)) / len(points)
    return slope, sum(2 * error for error in errors) / len(points)


@dataclass(frozen=True)
class Adam:
    """Adam for one number, written out; ``torch.optim.Adam`` does the same to every weight.

    >>> first = Adam().step(gradient=-0.1)
    >>> round(first.change, 6), round(first.v, 8)
    (0.01, 1e-05)
    """

    learning_rate: float = LEARNING_RATE
    """α, above 0."""
    beta1: float = 0.9
    """Share of the old first moment that is kept, from 0 to below 1."""
    beta2: float = 0.999
    """Share of the old second moment that is kept, from 0 to below 1."""
    epsilon: float = 1e-8
    """Keeps the quotient finite where all gradients were 0."""
    steps: int = 0
    """t: steps made so far; the values below need at least one."""
    m: float = 0.0
    """First moment: running mean of the gradients."""
    v: float = 0.0
    """Second moment: running mean of their squares."""

    def step(self, gradient: float) -> Adam:
        """The state after one more gradient; :attr:`change` is then what this step adds to the number."""
        m = self.beta1 * self.m + (1 - self.beta1) * gradient
        v = self.beta2 * self.v + (1 - self.beta2) * gradient**2
        return replace(self, steps=self.steps + 1, m=m, v=v)

    @property
    def m_hat(self) -> float:
        """First moment without its start at 0: m / (1 - β₁ᵗ)."""
        return self.m / (1 - self.beta1**self.steps)

    @property
    def v_hat(self) -> float:
        """Second moment without its start at 0: v / (1 - β₂ᵗ)."""
        return self.v / (1 - self.beta2**self.steps)

    @property
    def change(self) -> float:
        """What the last step adds to the number: -α·m̂ / (√v̂ + ε)."""
        return -self.learning_rate * self.m_hat / (sqrt(self.v_hat) + self.epsilon)


def worked_example() -> str:
    """One step of gradient descent and two of Adam, every value shown, with what the document prints.

    >>> print(worked_example().splitlines()[0])
    linear_regression: one step of gradient descent, D2 section 1, on (1, 3), (2, 5), (3, 7)
    """
    points = ", ".join(f"({x:g}, {y:g})" for x, y in _POINTS)
    descent = text(
        "model.linear_regression.worked_descent",
        "linear_regression: one step of gradient descent, D2 section 1, on {points}",
        points=points,
    )
    adam = text(
        "model.linear_regression.worked_adam",
        "linear_regression: two steps of Adam, D2 section 2, with gradients of -0.1 and -0.02",
    )
    return as_text(descent, _shown_descent()) + "\n\n" + as_text(adam, _shown_adam())


def _shown_descent() -> list[Shown]:
    x, y = torch.tensor(_POINTS).T
    predicted = W0 * x + B0
    slope, intercept = mse_gradient(W0, B0, _POINTS)
    return [
        Shown("ŷ = w·x + b", predicted),
        Shown("ŷ - y", predicted - y),
        Shown("J = (1/m)·Σ (ŷ - y)²", (predicted - y).square().mean()),
        Shown("∂J/∂w = (2/m)·Σ (ŷ - y)·x", slope, "(1/m)·Σ 2·(w·ŷ - y)", _GRADIENT),
        Shown("∂J/∂b = (2/m)·Σ (ŷ - y)", intercept),
        Shown("w1 = w0 - α·∂J/∂w", W0 - LEARNING_RATE * slope),
        Shown("b1 = b0 - α·∂J/∂b", B0 - LEARNING_RATE * intercept),
    ]


def _shown_adam() -> list[Shown]:
    first = Adam().step(_GRADIENTS[0])
    second = first.step(_GRADIENTS[1])
    w1 = W0 + first.change
    return [
        Shown("m1 = β₁·m0 + (1 - β₁)·g1", first.m),
        Shown("v1 = β₂·v0 + (1 - β₂)·g1²", first.v, "0.001", _V1),
        Shown("m̂1 = m1 / (1 - β₁)", first.m_hat),
        Shown("v̂1 = v1 / (1 - β₂)", first.v_hat),
        Shown("w1 = w0 - α·m̂1 / (√v̂1 + ε)", w1, "0.4995", _W1),
        Shown("m2 = β₁·m1 + (1 - β₁)·g2", second.m, "-0.012", _STEP2),
        Shown("v2 = β₂·v1 + (1 - β₂)·g2²", second.v, "0.0012"),
        Shown("m̂2 = m2 / (1 - β₁²)", second.m_hat),
        Shown("v̂2 = v2 / (1 - β₂²)", second.v_hat),
        Shown("w2 = w1 - α·m̂2 / (√v̂2 + ε)", w1 + second.change, "0.499"),
    ]


MODEL = ModelCard(
    name="linear_regression",
    build=LinearRegression,
    input_shape=(1,),
    classes=None,
    parameters=2,
    source="D2 (002_8600cd622cea1d62), mathematical models, sections 1 and 2",
    idea=Text(
        "model.linear_regression.idea",
        "A straight line, whose slope and intercept follow the gradient of the mean squared error.",
    ),
    # All points in one step, as in the document's sum over m; it leaves the number of steps open.
    defaults=Defaults(optimizer="sgd", learning_rate=LEARNING_RATE, micro_batch_size=500, epochs=300, precision="fp32"),
    data="points_on_line",
    output_shape=(1,),
    errata=(_GRADIENT, _V1, _W1, _STEP2),
)
