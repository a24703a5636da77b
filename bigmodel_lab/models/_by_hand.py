"""What the hand-written models share: a layer that knows its own gradients, and labels as rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dense(nn.Module):
    """The layer z = x·W + b, written as the documents do: one row of W an input, one column a unit.

    ``torch.nn.Linear`` keeps the same numbers transposed, and leaves the gradients to autograd.

    >>> layer = Dense(3, 4)
    >>> layer(torch.ones(2, 3)).shape
    torch.Size([2, 4])
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, units))
        self.bias = nn.Parameter(torch.zeros(units))
        nn.init.xavier_uniform_(self.weight)  # Glorot and Bengio 2010: signals keep their size from layer to layer

    @classmethod
    def of(cls, weight: Sequence[Sequence[float]], bias: Sequence[float]) -> Dense:
        """A layer that starts from given numbers.

        Args:
            weight: One row an input, one number a unit in each.
            bias: One number a unit.

        >>> Dense.of([[1.0, 2.0]], [0.0, 0.5])(torch.ones(1, 1)).tolist()
        [[1.0, 2.5]]
        """
        layer = cls(len(weight), len(bias))
        layer.weight = nn.Parameter(torch.tensor(weight))
        layer.bias = nn.Parameter(torch.tensor(bias))
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Weighted inputs z, shape (samples, units)."""
        return x @ self.weight + self.bias

    def add_gradients(self, x: Tensor, delta: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        """Add ∂L/∂W = xᵀ·δ and ∂L/∂b = Σ δ to ``.grad``; a frozen parameter gets none.

        Args:
            x: What the layer was given, shape (samples, inputs).
            delta: δ = ∂L/∂z of each sample's own loss, shape (samples, units).
            factor: Weight of a sample, e.g. 1 / samples for the mean.

        Returns:
            The two gradients that were added, of weight and bias.
        """
        gradients = (x.T @ delta * factor, delta.sum(0) * factor)
        for parameter, gradient in zip((self.weight, self.bias), gradients, strict=True):
            if parameter.requires_grad:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return gradients


def one_hot(labels: Tensor, scores: Tensor) -> Tensor:
    """Labels as rows of 0 with a single 1, in shape and number format of the scores.

    Args:
        labels: Class numbers, shape (samples,).
        scores: Shape (samples, classes).

    >>> one_hot(torch.tensor([1, 0]), torch.zeros(2, 2)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return F.one_hot(labels, scores.shape[1]).to(scores.dtype)
