"""The 3-4-2 network of D1 and D4, by hand: everything but the activation, which tells the two apart.

For a batch X with one sample a row, activation σ and m samples::

    z1 = X·W1 + b1    a1 = σ(z1)    z2 = a1·W2 + b2    a2 = σ(z2)
    δ2 = ∂L/∂z2       δ1 = δ2·W2ᵀ ⊙ σ′(z1)
    ∂L/∂W2 = a1ᵀ·δ2 / m    ∂L/∂b2 = Σ δ2 / m    ∂L/∂W1 = Xᵀ·δ1 / m    ∂L/∂b1 = Σ δ1 / m

Here δ belongs to each sample's own loss; the mean over the samples is taken in the gradients,
as D1, section 4.1, does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bigmodel_lab.i18n import Text
from bigmodel_lab.models._by_hand import Dense, one_hot
from bigmodel_lab.models._worked import Shown, as_text

SAMPLES = ((1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
"""The two samples of D1, section 4.3."""
LABELS = (0, 1)
"""Their classes."""


class TwoLayers(nn.Module, ABC):
    """Three inputs, four hidden units, two outputs; no autograd."""

    symbol: str
    """What the activation is called in formulas."""

    def __init__(self, hidden: Dense, output: Dense) -> None:
        super().__init__()
        self.hidden = hidden
        self.output = output
        self.values: dict[str, Tensor] = {}
        """Every intermediate value of the last pass, by its name in the formulas above."""

    @staticmethod
    @abstractmethod
    def activation(z: Tensor) -> Tensor:
        """Activations a = σ(z)."""

    @staticmethod
    @abstractmethod
    def slope(z: Tensor, a: Tensor) -> Tensor:
        """The derivative σ′(z), from z or from a = σ(z), whichever is shorter."""

    @abstractmethod
    def output_delta(self, y: Tensor) -> Tensor:
        """δ2 = ∂L/∂z2 of each sample's loss, from ``values``, for one-hot labels y."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Activations of the two outputs for a batch (B, 3)."""
        z1 = self.hidden(x)  # (B, 4)
        a1 = self.activation(z1)
        z2 = self.output(a1)  # (B, 2)
        a2 = self.activation(z2)
        self.values = {"x": x, "z1": z1, "a1": a1, "z2": z2, "a2": a2}
        return a2

    @torch.no_grad()
    def backward_by_hand(self, output: Tensor, labels: Tensor, share: float) -> None:
        """Add the gradients of the mean loss of the last forward pass; see :class:`.HandWritten`."""
        v = self.values
        v["y"] = one_hot(labels, output)
        v["delta2"] = self.output_delta(v["y"])  # (B, 2)
        v["delta1"] = v["delta2"] @ self.output.weight.T * self.slope(v["z1"], v["a1"])  # (B, 4)
        mean = share / labels.shape[0]
        v["grad_W2"], v["grad_b2"] = self.output.add_gradients(v["a1"], v["delta2"], mean)
        v["grad_W1"], v["grad_b1"] = self.hidden.add_gradients(v["x"], v["delta1"], mean)


@dataclass(frozen=True)
class Printed:
    """What a document prints at a step of its worked example."""

    text: str
    """As printed, in one line."""
    erratum: Text | None = None
    """Why it is wrong; None where another step says so."""


@dataclass(frozen=True)
class WorkedStep:
    """One step of gradient descent on the two samples, to be shown in full."""

    title: str
    """First line."""
    learning_rate: float
    """Step width α."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """Mean loss of (output, labels)."""
    formulas: Mapping[str, str]
    """How the model computes ``loss`` and ``delta2``."""
    printed: Mapping[str, Printed] = field(default_factory=dict)
    """What the document prints, by the name of the value."""

    def shown(self, model: TwoLayers) -> str:
        """Every value of the step; the model's weights stay as they are, its gradients are added to.

        Args:
            model: With the weights to start from.
        """
        labels = torch.tensor(LABELS)
        output = model(torch.tensor(SAMPLES))
        model.backward_by_hand(output, labels, share=1.0)
        weights = {
            "W1": model.hidden.weight.detach(),
            "b1": model.hidden.bias.detach(),
            "W2": model.output.weight.detach(),
            "b2": model.output.bias.detach(),
        }
        values = {**model.values, **weights, "loss": self.loss(output, labels)}
        steps = [self._shown(name, formula, values[name]) for name, formula in self._order(model.symbol).items()]
        rate = self.learning_rate
        steps += [
            Shown(f"{name} ← {name} - {rate}·∂L/∂{name}", old - rate * values[f"grad_{name}"])
            for name, old in weights.items()
        ]
        return as_text(self.title, steps)

    def _shown(self, name: str, formula: str, value: Tensor) -> Shown:
        printed = self.printed.get(name)
        return Shown(formula, value, printed.text if printed else None, printed.erratum if printed else None)

    def _order(self, symbol: str) -> dict[str, str]:
        """Formula of each value, in the order in which they are computed."""
        return {
            "x": "X",
            "W1": "W1",
            "b1": "b1",
            "z1": "z1 = X·W1 + b1",
            "a1": f"a1 = {symbol}(z1)",
            "W2": "W2",
            "b2": "b2",
            "z2": "z2 = a1·W2 + b2",
            "a2": f"a2 = {symbol}(z2)",
            "y": "y",
            "loss": self.formulas["loss"],
            "delta2": self.formulas["delta2"],
            "delta1": f"δ1 = δ2·W2ᵀ ⊙ {symbol}′(z1)",
            "grad_W2": "∂L/∂W2 = a1ᵀ·δ2 / m",
            "grad_b2": "∂L/∂b2 = Σ δ2 / m",
            "grad_W1": "∂L/∂W1 = Xᵀ·δ1 / m",
            "grad_b1": "∂L/∂b1 = Σ δ1 / m",
        }
