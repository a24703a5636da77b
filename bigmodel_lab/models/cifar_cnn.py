"""A convolutional network for small colour images of ten classes.

Idea: the same turns of convolution and pooling as in ``mnist_cnn``, over three colours
instead of one. A filter of the first layer weighs all three colours of its 3×3 window; the
image is larger, so more is left before the linear layers: 4×4 places instead of 3×3.

Shapes of one sample::

    3×32×32 → Conv 32 3×3 → 32×30×30 → ReLU → MaxPool 2 → 32×15×15
            → Conv 64 3×3 → 64×13×13 → ReLU → MaxPool 2 → 64×6×6
            → Conv 64 3×3 → 64×4×4   → ReLU → Flatten 1024 → Linear 64 → ReLU → Linear 10

Source: D1 (001_5910e4c2d4ce254d), section 5.2. It names no batch size; 32 is what
Keras, which it uses, takes then.

Data: the document trains on CIFAR-10, pixels divided by 255. Here the offline default is
``drawn_shapes``, images of the same size and number of classes; ``data="cifar10"`` is the real one.

Errata: the line that shall divide the training images by 255 is garbled. ``tfds.load``
returns data sets, not arrays, so neither its result can be unpacked as printed nor divided.
CIFAR-10 has 5,000 training images a class (50,000 in all) where the text says 6,000. The
text counts two convolutions and one linear layer, its own listing has three and two. The
softmax at the end is part of the loss here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


class CifarCNN(nn.Module):
    """Three convolutions over colour images, two poolings, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3)
        self.fc1 = nn.Linear(64 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten classes (logits) for a batch of images."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 3, 32, 32) → (B, 32, 30, 30) → (B, 32, 15, 15)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 64, 13, 13) → (B, 64, 6, 6)
        x = F.relu(self.conv3(x))  # (B, 64, 4, 4)
        x = torch.flatten(x, 1)  # (B, 1024)
        x = F.relu(self.fc1(x))  # (B, 64)
        logits: Tensor = self.fc2(x)  # (B, 10)
        return logits


MODEL = ModelCard(
    name="cifar_cnn",
    build=CifarCNN,
    input_shape=(3, 32, 32),
    classes=10,
    parameters=122_570,
    source="D1 (001_5910e4c2d4ce254d), section 5.2",
    idea=Text(
        "model.cifar_cnn.idea",
        "Convolutions and poolings in turns, over colour images of 32×32 pixels, before two linear layers decide.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=32, epochs=10, precision="fp32"),
    data="drawn_shapes",
    errata=(
        Text(
            "model.cifar_cnn.erratum_scaling",
            "The line that shall divide the training images by 255 is garbled. Here pixels are divided by 255 "
            "when a batch is made.",
        ),
        Text(
            "model.cifar_cnn.erratum_load",
            "tfds.load returns data sets, not arrays: they cannot be unpacked into images and labels, nor divided. "
            "Here the data is read into arrays once.",
        ),
        Text(
            "model.cifar_cnn.erratum_count",
            "CIFAR-10 has 5,000 training images a class, 50,000 in all; the document says 6,000.",
        ),
        Text(
            "model.cifar_cnn.erratum_layers",
            "The text counts two convolutions and one linear layer; its own listing has three and two, as here.",
        ),
    ),
)
