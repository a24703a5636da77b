"""A network of one hidden layer, the smallest that learns digits well.

Idea: every hidden unit weighs all 784 pixels; 500 such views are enough to tell ten digits
apart. Neighbouring pixels mean nothing to it: shuffled images would be learned as well.

Shapes of one sample::

    1×28×28 → Flatten 784 → Linear 500 → ReLU → Linear 10 (softmax lies in the loss)

Source: D0 (000_7729297fffeb390e), sections 4.3 and 4.4.

Errata: the document ends the model with a softmax and compares with one-hot labels. Here
the model returns logits, and the cross-entropy loss takes the softmax itself: the same
value, without the overflow of exp. The document's data is never loaded nor flattened.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


class MLP(nn.Module):
    """784 pixels, 500 hidden units, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 500)
        self.output = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten classes (logits) for a batch of images."""
        x = torch.flatten(x, 1)  # (B, 1, 28, 28) → (B, 784)
        x = F.relu(self.hidden(x))  # (B, 500)
        logits: Tensor = self.output(x)  # (B, 10)
        return logits


MODEL = ModelCard(
    name="mlp",
    build=MLP,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=397_510,
    source="D0 (000_7729297fffeb390e), sections 4.3 and 4.4",
    idea=Text(
        "model.mlp.idea",
        "One hidden layer of 500 units between the 784 pixels and the ten classes.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=64, epochs=10, precision="fp32"),
    documented_result="accuracy 90 % on training, 85 % on validation, 80 % on test images",
    errata=(
        Text(
            "model.mlp.erratum_softmax",
            "The document ends the model with a softmax. Here the softmax is part of the cross-entropy "
            "loss: the same value, computed without overflow.",
        ),
    ),
)
