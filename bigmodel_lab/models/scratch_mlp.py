"""A network from scratch: forward pass, loss and gradients as formulas, without autograd.

Idea: what every framework does by itself is here four lines a direction. Forward, each
layer weighs the outputs of the one before and squeezes them by a sigmoid. Backward, the
error δ of each layer comes from the layer after it, and a gradient is what a layer was
given times its δ. ``values`` holds every number of the last pass.

Shapes of one sample (a row), for flattened digits of 784 pixels::

    a0 784 → z1 = a0·W1 + b1  64 → a1 = σ(z1) → z2 = a1·W2 + b2  64 → a2 = σ(z2)
           → z3 = a2·W3 + b3  10 → a3 = softmax(z3)   (with the loss L = -log a3[label])

    δ3 = a3 - y,  δ2 = δ3·W3ᵀ ⊙ σ′(z2),  δ1 = δ2·W2ᵀ ⊙ σ′(z1),  σ′ = σ·(1 - σ)
    ∂L/∂Wₖ = aₖ₋₁ᵀ·δₖ / m,  ∂L/∂bₖ = Σ δₖ / m   (m samples)

Source: D1 (001_5910e4c2d4ce254d), sections 3.1 and 3.2. It trains on one sample after the
other, as the pseudo-code does; the document leaves learning rate and epochs open.

Errata, each proved in ``tests/models/test_errata.py``:

- The pseudo-code's δ of the output, (1 - a)·a·(a - y), is that of a squared error. With
  cross-entropy it is a - y.
- Its outputs are sigmoids, and its loss -log a[label] sees only one of them: it falls to 0
  when all outputs go to 1. Here a softmax, which shares 1 among the classes.
- Its hidden δ takes the derivative at the outputs of the layer after, and its gradients
  multiply each δ by the layer's own outputs. It must be the layer's own derivative, and
  what the layer was given.
- Section 4.1 writes z = X·W for every layer. Only the first sees X; the others see a of the layer before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.models._by_hand import Dense, one_hot
from bigmodel_lab.models._worked import Shown, as_text
from bigmodel_lab.models.base import Defaults, ModelCard

_DELTA = Text(
    "model.scratch_mlp.erratum_delta",
    "The document multiplies the derivative of the sigmoid into the output's error: (1 - a)·a·(a - y) belongs to a "
    "squared error. With cross-entropy it is a - y.",
)
_OUTPUT = Text(
    "model.scratch_mlp.erratum_output",
    "The document's outputs are sigmoids and its loss sees only that of the right class, so it is lowest when all "
    "outputs are 1. Here a softmax shares 1 among the classes.",
)
_LAYER = Text(
    "model.scratch_mlp.erratum_layer",
    "The document's backward pass uses the outputs of the wrong layers: a derivative belongs to the layer itself, and a "
    "gradient multiplies δ by what the layer was given.",
)
_INPUT = Text(
    "model.scratch_mlp.erratum_input",
    "The document gives X to every layer in section 4.1. Only the first sees X; the others see the layer before.",
)


class ScratchMLP(nn.Module):
    """Two hidden layers of sigmoids; no autograd."""

    def __init__(self, features: int = 784, classes: int = 10, *, hidden: int = 64) -> None:
        super().__init__()
        self.layer1 = Dense(features, hidden)
        self.layer2 = Dense(hidden, hidden)
        self.layer3 = Dense(hidden, classes)
        self.values: dict[str, Tensor] = {}
        """Every intermediate value of the last pass, by its name in the formulas above."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes (logits z3) for a batch of samples of any shape."""
        a0 = torch.flatten(x, 1)  # (B, features)
        z1 = self.layer1(a0)  # (B, 64)
        a1 = torch.sigmoid(z1)
        z2 = self.layer2(a1)  # (B, 64)
        a2 = torch.sigmoid(z2)
        z3: Tensor = self.layer3(a2)  # (B, classes)
        self.values = {"a0": a0, "z1": z1, "a1": a1, "z2": z2, "a2": a2, "z3": z3}
        return z3

    @torch.no_grad()
    def backward_by_hand(self, output: Tensor, labels: Tensor, share: float) -> None:
        """Add the gradients of the mean loss of the last forward pass; see :class:`.HandWritten`."""
        v = self.values
        v["a3"] = torch.softmax(output, 1)  # (B, classes)
        v["y"] = one_hot(labels, output)
        v["delta3"] = v["a3"] - v["y"]
        v["delta2"] = v["delta3"] @ self.layer3.weight.T * (v["a2"] * (1 - v["a2"]))  # (B, 64)
        v["delta1"] = v["delta2"] @ self.layer2.weight.T * (v["a1"] * (1 - v["a1"]))  # (B, 64)
        mean = share / labels.shape[0]
        v["grad_W3"], v["grad_b3"] = self.layer3.add_gradients(v["a2"], v["delta3"], mean)
        v["grad_W2"], v["grad_b2"] = self.layer2.add_gradients(v["a1"], v["delta2"], mean)
        v["grad_W1"], v["grad_b1"] = self.layer1.add_gradients(v["a0"], v["delta1"], mean)


def worked_example() -> str:
    """One forward and backward pass in small (3 → 2 → 2 → 2), every value shown, with what the document prints.

    >>> print(worked_example()[:43])
    scratch_mlp: one forward and backward pass,
    """
    model, labels = MODEL.create(seed=0, features=3, classes=2, hidden=2), torch.tensor([0, 1])
    assert isinstance(model, ScratchMLP)
    output = model(torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]))
    model.backward_by_hand(output, labels, share=1.0)
    title = text(
        "model.scratch_mlp.worked",
        "scratch_mlp: one forward and backward pass, in small: 3 → 2 → 2 → 2, weights of seed 0",
    )
    return as_text(title, [*_shown_forward(model), *_shown_backward(model)])


def _shown_forward(model: ScratchMLP) -> list[Shown]:
    v = model.values
    return [
        Shown("a0 = X", v["a0"]),
        Shown("W1", model.layer1.weight),
        Shown("z1 = a0·W1 + b1", v["z1"]),
        Shown("a1 = σ(z1)", v["a1"]),
        Shown("W2", model.layer2.weight),
        Shown("z2 = a1·W2 + b2", v["z2"], "z = X·W + b", _INPUT),
        Shown("a2 = σ(z2)", v["a2"]),
        Shown("W3", model.layer3.weight),
        Shown("z3 = a2·W3 + b3", v["z3"]),
        Shown("a3 = softmax(z3)", v["a3"], "σ(z3)", _OUTPUT),
    ]


def _shown_backward(model: ScratchMLP) -> list[Shown]:
    v = model.values
    loss = -(v["y"] * v["a3"].log()).sum(1).mean()
    return [
        Shown("y", v["y"]),
        Shown("L = -(1/m)·Σ y·log(a3)", loss),
        Shown("δ3 = a3 - y", v["delta3"], "(1 - a)·a·(a - y)", _DELTA),
        Shown("δ2 = δ3·W3ᵀ ⊙ a2·(1 - a2)", v["delta2"], "σ′(a3) ⊙ δ3·W3ᵀ", _LAYER),
        Shown("δ1 = δ2·W2ᵀ ⊙ a1·(1 - a1)", v["delta1"], "σ′(a2) ⊙ δ2·W2ᵀ"),
        Shown("∂L/∂W3 = a2ᵀ·δ3 / m", v["grad_W3"], "a3ᵀ·δ3"),
        Shown("∂L/∂b3 = Σ δ3 / m", v["grad_b3"]),
        Shown("∂L/∂W2 = a1ᵀ·δ2 / m", v["grad_W2"], "a2ᵀ·δ2"),
        Shown("∂L/∂b2 = Σ δ2 / m", v["grad_b2"]),
        Shown("∂L/∂W1 = a0ᵀ·δ1 / m", v["grad_W1"], "a1ᵀ·δ1"),
        Shown("∂L/∂b1 = Σ δ1 / m", v["grad_b1"]),
    ]


MODEL = ModelCard(
    name="scratch_mlp",
    build=ScratchMLP,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=55_050,
    source="D1 (001_5910e4c2d4ce254d), sections 3.1 and 3.2",
    idea=Text(
        "model.scratch_mlp.idea",
        "Two hidden layers of sigmoids whose forward and backward pass are written down as formulas, without autograd.",
    ),
    # One sample a step is documented; the document leaves learning rate and epochs open.
    defaults=Defaults(optimizer="sgd", learning_rate=0.1, micro_batch_size=1, epochs=10, precision="fp32"),
    takes=("features", "classes"),
    errata=(_DELTA, _OUTPUT, _LAYER, _INPUT),
)
