"""A network of one convolution and one pooling, documented with a test accuracy of 0.9900 on MNIST.

Idea: as ``simple_cnn``, but the pooling halves height and width before the linear layers.
So the first of them has 5408 inputs instead of 21632, and the network an eighth of the
weights. The document writes it in the functional style of its library, layer by layer as
calls on a tensor; a ``forward`` in PyTorch is written so anyway.

Shapes of one sample::

    1×28×28 → Conv 32 3×3 → 32×26×26 → ReLU → MaxPool 2 → 32×13×13
            → Flatten 5408 → Linear 64 → ReLU → Linear 10

Source: D4 (004_d54f2a4c61d67da2), sections 5.2 to 5.4.

Errata: the document validates on the test images, so its test accuracy is that of images
which were looked at after every epoch; here the two are kept apart. It turns the labels into
one-hot rows and ends the model with a softmax: here both lie in the cross-entropy loss, with
the same value and the same gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


class MnistCNNFunctional(nn.Module):
    """One convolution, one pooling, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3)
        self.fc1 = nn.Linear(32 * 13 * 13, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten classes (logits) for a batch of images."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 1, 28, 28) → (B, 32, 26, 26) → (B, 32, 13, 13)
        x = torch.flatten(x, 1)  # (B, 5408)
        x = F.relu(self.fc1(x))  # (B, 64)
        logits: Tensor = self.fc2(x)  # (B, 10)
        return logits


MODEL = ModelCard(
    name="mnist_cnn_functional",
    build=MnistCNNFunctional,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=347_146,
    source="D4 (004_d54f2a4c61d67da2), sections 5.2 to 5.4",
    idea=Text(
        "model.mnist_cnn_functional.idea",
        "One convolution finds strokes, one pooling makes the image a quarter as large, two linear layers decide.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=128, epochs=10, precision="fp32"),
    documented_result="test accuracy 0.9900 on MNIST",
    errata=(
        Text(
            "model.mnist_cnn_functional.erratum_validation",
            "The document validates on the test images. Here validation and test images are kept apart.",
        ),
        Text(
            "model.mnist_cnn_functional.erratum_one_hot",
            "The document makes the labels one-hot and ends the model with a softmax. Here class numbers and logits "
            "go into the cross-entropy loss: the same value and gradients, computed without overflow.",
        ),
    ),
)
