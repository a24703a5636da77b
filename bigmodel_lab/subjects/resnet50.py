"""ResNet-50: blocks that learn only what to add to their input, so that fifty layers train well.

A block narrows the channels by a 1×1 convolution, looks around by 3×3, widens by 1×1, and adds its input; the first
of each stage brings its input to the new size by a 1×1 convolution of its own.

Shapes of one sample; batch normalization follows each convolution::

    3×224×224 → Conv 64 7×7 stride 2 → 64×112×112 → ReLU → MaxPool 3 stride 2 → 64×56×56
              → 3 × block 64   → 256×56×56
              → 4 × block 128  → 512×28×28
              → 6 × block 256  → 1024×14×14
              → 3 × block 512  → 2048×7×7 → mean over the places → 2048 → Linear 1000

Source: He et al. 2016, Deep Residual Learning for Image Recognition, table 1 (50-layer) and section 3.4. The
step of 2 stands at the 3×3 convolution and not at the 1×1 before it, as nearly everyone runs it since Goyal et al. 2017,
Accurate, Large Minibatch SGD, section 5.1. That changes no count of weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._images import CLASSES, classification_loss, labelled_images
from bigmodel_lab.subjects._layers import conv_norm
from bigmodel_lab.subjects.base import Subject

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
"""Blocks of each stage, channels within a block, step of the stage's first block."""
WIDENING = 4
"""Channels behind a block for each within it."""


class Bottleneck(nn.Module):
    """1×1 → 3×3 → 1×1, added to the input."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = WIDENING * channels
        self.narrow = conv_norm(inputs, channels, 1, nn.ReLU(inplace=True))
        self.look = conv_norm(channels, channels, 3, nn.ReLU(inplace=True), stride=stride)
        self.widen = conv_norm(channels, outputs, 1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, 4·channels, H/stride, W/stride)."""
        change = self.widen(self.look(self.narrow(x)))
        change += self.shortcut(x)
        return F.relu_(change)


class ResNet50(nn.Module):
    """The stem, sixteen blocks in four stages, one linear layer."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = conv_norm(3, 64, 7, nn.ReLU(inplace=True), stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.blocks = nn.Sequential(*_blocks())
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.decide = nn.Linear(512 * WIDENING, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, shape (B, classes), for images (B, 3, height, width)."""
        x = self.pool(self.stem(images))  # (B, 64, 56, 56)
        x = self.mean(self.blocks(x))  # (B, 2048, 7, 7) → (B, 2048, 1, 1)
        scores: Tensor = self.decide(torch.flatten(x, 1))
        return scores


def _blocks() -> Iterator[Bottleneck]:
    inputs = 64
    for count, channels, stride in STAGES:
        for number in range(count):
            yield Bottleneck(inputs, channels, 1 if number else stride)
            inputs = WIDENING * channels


SUBJECT = Subject(
    name="resnet50",
    build=ResNet50,
    batch=labelled_images,
    loss=classification_loss,
    parameters=25_557_032,
    inputs=Text("subject.inputs.image_224", "A colour image, 3×224×224."),
    source="He et al. 2016, Deep Residual Learning for Image Recognition, table 1, 50-layer",
    idea=Text(
        "subject.resnet50.idea",
        "Sixteen blocks of three convolutions, each of which learns only what to add to its input.",
    ),
    training=Text("subject.resnet50.training", "SGD with momentum 0.9, batches of 256 images."),
    sizes={"height": 224, "width": 224},
)
