"""The classic convolutional network for digits: small, and better than far larger ones.

Idea: convolution and pooling in turns. Each convolution sees a wider part of the image
than the one before, each pooling halves what must be computed, so that the linear layers
at the end need only 576 inputs instead of the 21632 of ``simple_cnn``.

Shapes of one sample::

    1×28×28 → Conv 32 3×3 → 32×26×26 → ReLU → MaxPool 2 → 32×13×13
            → Conv 64 3×3 → 64×11×11 → ReLU → MaxPool 2 → 64×5×5
            → Conv 64 3×3 → 64×3×3   → ReLU → Flatten 576 → Linear 64 → ReLU → Linear 10

Source: D3 (003_55378ef5ad9a4593), section 4.

Errata: the document validates on the test images; here the two are kept apart. Its formula
of the convolution (section 3.3) lacks the shift: it is y(u,v) = Σᵢ Σⱼ x(u+i, v+j)·w(i,j).
The softmax at its end is part of the loss here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


class MnistCNN(nn.Module):
    """Three convolutions, two poolings, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3)
        self.fc1 = nn.Linear(64 * 3 * 3, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten classes (logits) for a batch of images."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 1, 28, 28) → (B, 32, 26, 26) → (B, 32, 13, 13)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 64, 11, 11) → (B, 64, 5, 5)
        x = F.relu(self.conv3(x))  # (B, 64, 3, 3)
        x = torch.flatten(x, 1)  # (B, 576)
        x = F.relu(self.fc1(x))  # (B, 64)
        logits: Tensor = self.fc2(x)  # (B, 10)
        return logits


MODEL = ModelCard(
    name="mnist_cnn",
    build=MnistCNN,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=93_322,
    source="D3 (003_55378ef5ad9a4593), section 4",
    idea=Text(
        "model.mnist_cnn.idea",
        "Convolutions and poolings in turns make the image smaller and its features richer, "
        "before two linear layers decide.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=32, epochs=10, precision="fp32"),
    errata=(
        Text(
            "model.mnist_cnn.erratum_validation",
            "The document validates on the test images. Here validation and test images are kept apart.",
        ),
    ),
)
