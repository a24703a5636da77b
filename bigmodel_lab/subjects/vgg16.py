"""VGG-16: nothing but 3×3 convolutions, sixteen layers with weights.

Shapes of one sample; each convolution is 3×3 and followed by ReLU::

    3×224×224 → 2 × Conv 64  → 64×224×224  → MaxPool 2 → 64×112×112
              → 2 × Conv 128 → 128×112×112 → MaxPool 2 → 128×56×56
              → 3 × Conv 256 → 256×56×56   → MaxPool 2 → 256×28×28
              → 3 × Conv 512 → 512×28×28   → MaxPool 2 → 512×14×14
              → 3 × Conv 512 → 512×14×14   → MaxPool 2 → 512×7×7
              → Linear 4096 → ReLU → Dropout → Linear 4096 → ReLU → Dropout → Linear 1000

The first two layers hold 1,792 and 36,928 weights and nearly half of all activations: small layers on large images
are what fills the memory.

Source: Simonyan and Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, table 1
(configuration D) and section 3.1. Images of other sizes than 224 are brought to 7×7 by averaging.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._images import CLASSES, classification_loss, labelled_images
from bigmodel_lab.subjects.base import Subject

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions of each stage and their channels; a pooling ends each."""


class VGG16(nn.Module):
    """Five stages of convolutions, three linear layers."""

    def __init__(self, classes: int = CLASSES, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stages())
        self.to_7x7 = nn.AdaptiveAvgPool2d(7)
        self.decide = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, shape (B, classes), for images (B, 3, height, width)."""
        x = self.to_7x7(self.features(images))  # (B, 512, 7, 7)
        scores: Tensor = self.decide(torch.flatten(x, 1))
        return scores


def _stages() -> Iterator[nn.Module]:
    before = 3
    for convolutions, channels in STAGES:
        for _ in range(convolutions):
            yield nn.Conv2d(before, channels, kernel_size=3, padding=1)
            yield nn.ReLU(inplace=True)
            before = channels
        yield nn.MaxPool2d(2)


SUBJECT = Subject(
    name="vgg16",
    build=VGG16,
    batch=labelled_images,
    loss=classification_loss,
    parameters=138_357_544,
    inputs=Text("subject.inputs.image_224", "A colour image, 3×224×224."),
    source="Simonyan and Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, table 1, "
    "configuration D",
    idea=Text(
        "subject.vgg16.idea",
        "Thirteen convolutions of 3×3 and three linear layers: simple, heavy, and the classic way to run out of memory.",
    ),
    training=Text("subject.vgg16.training", "SGD with momentum 0.9, batches of 256 images."),
    sizes={"height": 224, "width": 224},
)
