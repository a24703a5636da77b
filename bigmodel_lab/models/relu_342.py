"""The network of D4's worked example: ReLU where D1's has sigmoids, every number by hand.

Idea: ReLU lets a positive number pass unchanged and turns a negative one into 0. Its
derivative is 1 or 0, so a unit either hands its δ back whole or not at all. The starting
weights are chosen so that both happen. Forward and backward pass are written down as
formulas (:mod:`._two_layers`, shared with ``sigmoid_342``); autograd takes no part. ``values``
holds every number of the last pass, and :func:`worked_example` shows one step of gradient
descent beside what the document prints.

Shapes of one sample (a row; the weights stand to its right)::

    x 3 → z1 = x·W1 + b1  4 → a1 = ReLU(z1)  4 → z2 = a1·W2 + b2  2 → a2 = ReLU(z2)  2

Loss, mean over the samples: L = ½·Σₖ (aₖ - yₖ)², with y one-hot: the one whose δ2 is, but
for its sign, what the document writes.

Source: D4 (004_d54f2a4c61d67da2), section 4.3; the same network as D1, section 4.3, whose two
samples it is shown on. The document gives neither weights nor a loss nor data.

Errata, each proved in ``tests/models/test_errata.py``:

- δ2 is printed as (y - a2) ⊙ ∂a2/∂z2. That is minus the gradient: w ← w - α·∂L/∂w would climb.
  It is (a2 - y) ⊙ ReLU′(z2).
- δ1 is printed as W2ᵀ·δ2 ⊙ ∂z1/∂a0. But ∂z1/∂a0 is W1, of another shape. It is
  W2ᵀ·δ2 ⊙ ReLU′(z1).
- Section 4.2 has δ = ∂L/∂z ⊙ ∂z/∂a. It is ∂L/∂a ⊙ ∂a/∂z, as section 4.1 says.
- D1, section 4.2.1, says that ReLU is 1 for x > 0. Its value is x there; 1 is its derivative.
"""

from __future__ import annotations

from torch import Tensor

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.models._by_hand import Dense, one_hot
from bigmodel_lab.models._two_layers import Printed, TwoLayers, WorkedStep
from bigmodel_lab.models.base import Defaults, ModelCard

_W1 = [[0.5, -0.5, 0.2, 0.3], [0.1, 0.4, -0.6, 0.2], [-0.3, 0.6, 0.4, -0.8]]
_B1 = [0.1, 0.0, -0.1, 0.2]
_W2 = [[0.4, -0.2], [0.3, 0.5], [-0.1, 0.6], [0.2, 0.1]]
_B2 = [0.1, 0.1]
_LEARNING_RATE = 0.1

_SIGN = Text(
    "model.relu_342.erratum_sign",
    "The document's δ2 has the wrong sign: (y - a2) is minus the derivative of the loss, and a step against it would "
    "make the loss larger.",
)
_FACTOR = Text(
    "model.relu_342.erratum_factor",
    "The document multiplies ∂z1/∂a0 into δ1. That is W1, a matrix of another shape; it must be the derivative of the "
    "activation, ReLU′(z1).",
)
_CHAIN = Text(
    "model.relu_342.erratum_chain",
    "Section 4.2 of the document writes δ = ∂L/∂z ⊙ ∂z/∂a. The chain rule gives ∂L/∂a ⊙ ∂a/∂z, as its section 4.1 has it.",
)
_VALUE = Text(
    "model.relu_342.erratum_value",
    "D1 says that ReLU is 1 for x > 0. Its value is x there; 1 is its derivative.",
)


class ReLU342(TwoLayers):
    """Three inputs, four hidden units, two outputs; starts from the same weights whatever the seed."""

    symbol = "ReLU"

    def __init__(self) -> None:
        super().__init__(Dense.of(_W1, _B1), Dense.of(_W2, _B2))

    @staticmethod
    def activation(z: Tensor) -> Tensor:
        """ReLU(z) = max(0, z)."""
        return z.clamp(min=0)

    @staticmethod
    def slope(z: Tensor, a: Tensor) -> Tensor:  # noqa: ARG004 - the shape of the contract
        """ReLU′(z) is 1 above 0, else 0."""
        return (z > 0).to(z.dtype)

    def output_delta(self, y: Tensor) -> Tensor:
        """δ2 = (a2 - y) ⊙ ReLU′(z2)."""
        a2 = self.values["a2"]
        return (a2 - y) * self.slope(self.values["z2"], a2)


def half_squared_error(output: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance from the one-hot labels, mean over the samples.

    Args:
        output: Activations, shape (samples, 2).
        labels: Class numbers, shape (samples,).

    >>> import torch
    >>> float(half_squared_error(torch.tensor([[1.0, 2.0]]), torch.tensor([0])))
    2.0
    """
    return (output - one_hot(labels, output)).square().sum() / (2 * labels.shape[0])


def worked_example() -> str:
    """One step of gradient descent on D1's two samples, every value shown, with what the document prints.

    >>> print(worked_example()[:54])
    relu_342: one step of gradient descent, D4 section 4.3
    """
    title = text(
        "model.relu_342.worked",
        "relu_342: one step of gradient descent, D4 section 4.3, learning rate {rate} (the document names neither it "
        "nor weights)",
        rate=_LEARNING_RATE,
    )
    formulas = {"loss": "L = (1/2m)·Σ (a2 - y)²", "delta2": "δ2 = (a2 - y) ⊙ ReLU′(z2)"}
    return WorkedStep(title, _LEARNING_RATE, half_squared_error, formulas, _PRINTED).shown(ReLU342())


_PRINTED = {
    "a1": Printed("ReLU(x) = 1, x > 0 (D1, 4.2.1)", _VALUE),
    "delta2": Printed("δ2 = (y - a2) ⊙ ∂a2/∂z2", _SIGN),
    "delta1": Printed("δ1 = W2ᵀ·δ2 ⊙ ∂z1/∂a0", _FACTOR),
}

MODEL = ModelCard(
    name="relu_342",
    build=ReLU342,
    input_shape=(3,),
    classes=2,
    parameters=26,
    source="D4 (004_d54f2a4c61d67da2), section 4.3",
    idea=Text(
        "model.relu_342.idea",
        "Three inputs, four hidden units and two outputs with ReLU: each unit hands its error back whole or not at all.",
    ),
    # The document names neither a learning rate nor a number of steps.
    defaults=Defaults(optimizer="sgd", learning_rate=_LEARNING_RATE, micro_batch_size=2, epochs=200, precision="fp32"),
    data="example_342",
    loss=half_squared_error,
    errata=(_SIGN, _FACTOR, _CHAIN, _VALUE),
)
