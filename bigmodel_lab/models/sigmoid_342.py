"""The network of D1's worked example: small enough to check every number by hand.

Idea: three inputs, four hidden units, two outputs, a sigmoid everywhere. Forward and
backward pass are written down as formulas (:mod:`._two_layers`, shared with ``relu_342``);
autograd takes no part. ``values`` holds every number of the last pass, and
:func:`worked_example` shows one step of gradient descent beside what the document prints.

Shapes of one sample (a row; the weights stand to its right, as in the document)::

    x 3 → z1 = x·W1 + b1  4 → a1 = σ(z1)  4 → z2 = a1·W2 + b2  2 → a2 = σ(z2)  2

Loss, mean over the samples: L = -Σₖ yₖ·log(aₖ) + (1 - yₖ)·log(1 - aₖ), with y one-hot.
Its δ2 = ∂L/∂z2 is a2 - y, because the derivative of the sigmoid cancels.

Source: D1 (001_5910e4c2d4ce254d), section 4.3; formulas in section 4.1.

Errata, each proved in ``tests/models/test_errata.py``:

- W1 is printed as 3×3 with three biases. Four hidden units need 3×4 and four: here each
  row goes on by 0.1, as it began.
- a2 is printed with four rows for two samples, and its numbers do not follow from the data.
- The loss is printed as -0.693. A cross-entropy is never below 0.
- The labels [0 1] become [[0 1], [1 0]] in the document's δ2: class 1 for the first sample.
  One-hot they are [[1 0], [0 1]].
- For δ1 the document takes a 3×3 matrix that is not its W2, and slopes σ′ of 0.3; σ′ is at most 0.25.
- The document subtracts δ1 from W1 and (W2)ᵀ·δ2 from W2. The gradients are Xᵀ·δ1 and a1ᵀ·δ2,
  each divided by the number of samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.models._by_hand import Dense, one_hot
from bigmodel_lab.models._two_layers import Printed, TwoLayers, WorkedStep
from bigmodel_lab.models.base import Defaults, ModelCard

_W1 = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.5, 0.6, 0.7], [0.7, 0.8, 0.9, 1.0]]  # the last column is ours
_B1 = [0.1, 0.2, 0.3, 0.4]  # and so is the last number here
_W2 = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]]
_B2 = [0.1, 0.2]
_LEARNING_RATE = 0.5

_SHAPES = Text(
    "model.sigmoid_342.erratum_shapes",
    "The document gives W1 as 3×3 with three biases. Four hidden units need 3×4 and four biases; here each row goes "
    "on by 0.1, as it began.",
)
_ACTIVATIONS = Text(
    "model.sigmoid_342.erratum_activations",
    "The document prints four rows of outputs for two samples, and numbers that do not follow from its data.",
)
_LOSS = Text(
    "model.sigmoid_342.erratum_loss",
    "The document prints a loss of -0.693. A cross-entropy is never below 0.",
)
_LABELS = Text(
    "model.sigmoid_342.erratum_labels",
    "The document turns the labels [0 1] into [[0 1], [1 0]]; one-hot, they are [[1 0], [0 1]].",
)
_SLOPES = Text(
    "model.sigmoid_342.erratum_slopes",
    "For δ1 the document takes a 3×3 matrix that is not its W2, and slopes of the sigmoid of 0.3, which never exceed 0.25.",
)
_GRADIENTS = Text(
    "model.sigmoid_342.erratum_gradients",
    "The document subtracts δ1 from W1 and W2ᵀ·δ2 from W2. The gradients are Xᵀ·δ1 and a1ᵀ·δ2, each divided by the "
    "number of samples.",
)


class Sigmoid342(TwoLayers):
    """Three inputs, four hidden units, two outputs; starts from the document's weights, whatever the seed."""

    symbol = "σ"

    def __init__(self) -> None:
        super().__init__(Dense.of(_W1, _B1), Dense.of(_W2, _B2))

    @staticmethod
    def activation(z: Tensor) -> Tensor:
        """σ(z) = 1 / (1 + e⁻ᶻ), from 0 to 1."""
        return torch.sigmoid(z)

    @staticmethod
    def slope(z: Tensor, a: Tensor) -> Tensor:  # noqa: ARG004 - the shape of the contract
        """σ′(z) = σ(z)·(1 - σ(z))."""
        return a * (1 - a)

    def output_delta(self, y: Tensor) -> Tensor:
        """δ2 = a2 - y: σ′(z2) cancels against the derivative of the cross-entropy."""
        return self.values["a2"] - y


def binary_cross_entropy(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each output against 0 or 1, added over the outputs, mean over the samples.

    Args:
        output: Activations from 0 to 1, shape (samples, 2).
        labels: Class numbers, shape (samples,).

    >>> round(float(binary_cross_entropy(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))), 4)
    1.3863
    """
    return F.binary_cross_entropy(output, one_hot(labels, output), reduction="sum") / labels.shape[0]


def worked_example() -> str:
    """One step of gradient descent on the document's two samples, every value shown, with what the document prints.

    >>> print(worked_example()[:57])
    sigmoid_342: one step of gradient descent, D1 section 4.3
    """
    title = text(
        "model.sigmoid_342.worked",
        "sigmoid_342: one step of gradient descent, D1 section 4.3, learning rate {rate} (the document names none)",
        rate=_LEARNING_RATE,
    )
    formulas = {"loss": "L = -(1/m)·Σ y·log(a2) + (1 - y)·log(1 - a2)", "delta2": "δ2 = a2 - y"}
    return WorkedStep(title, _LEARNING_RATE, binary_cross_entropy, formulas, _PRINTED).shown(Sigmoid342())


_PRINTED = {
    "W1": Printed("3×3: 0.1 0.2 0.3 | 0.4 0.5 0.6 | 0.7 0.8 0.9", _SHAPES),
    "b1": Printed("0.1 0.2 0.3"),
    "a2": Printed("4×2: 0.6 0.53 | 0.4 0.36 | 0.2 0.15 | 0.1 0.05", _ACTIVATIONS),
    "y": Printed("0 1 | 1 0", _LABELS),
    "loss": Printed("-0.693", _LOSS),
    "delta2": Printed("4×2: 0.6 -0.47 | -0.6 0.36 | -0.8 -0.85 | -0.9 -0.95"),
    "delta1": Printed("3×2: 0.036 -0.038 | -0.038 0.027 | -0.048 -0.057", _SLOPES),
    "grad_W2": Printed("W2ᵀ·δ2", _GRADIENTS),
    "grad_b2": Printed("δ2"),
    "grad_W1": Printed("δ1"),
    "grad_b1": Printed("δ1"),
}

MODEL = ModelCard(
    name="sigmoid_342",
    build=Sigmoid342,
    input_shape=(3,),
    classes=2,
    parameters=26,
    source="D1 (001_5910e4c2d4ce254d), section 4.3",
    idea=Text(
        "model.sigmoid_342.idea",
        "Three inputs, four hidden units and two outputs with sigmoids: every number of a step can be checked by hand.",
    ),
    # The document names neither a learning rate nor a number of steps.
    defaults=Defaults(optimizer="sgd", learning_rate=_LEARNING_RATE, micro_batch_size=2, epochs=500, precision="fp32"),
    data="example_342",
    loss=binary_cross_entropy,
    errata=(_SHAPES, _ACTIVATIONS, _LOSS, _LABELS, _SLOPES, _GRADIENTS),
)
