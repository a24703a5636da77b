"""AlexNet: the network that made convolution on GPUs the way to see, in its form for one GPU.

Shapes of one sample::

    3×224×224 → Conv 64 11×11 stride 4  → 64×55×55  → ReLU → MaxPool 3 stride 2 → 64×27×27
              → Conv 192 5×5            → 192×27×27 → ReLU → MaxPool 3 stride 2 → 192×13×13
              → Conv 384 3×3 → ReLU → Conv 256 3×3 → ReLU → Conv 256 3×3 → ReLU → MaxPool 3 stride 2 → 256×6×6
              → Dropout → Linear 4096 → ReLU → Dropout → Linear 4096 → ReLU → Linear 1000

Of 25 weights 24 lie in the linear layers, most of the activations in the first convolution.

Source: Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks: the network of
Krizhevsky et al. 2012 as one tower, without its split over two GPUs and without its response normalization. Images
of other sizes than 224 are brought to 6×6 by averaging before the linear layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._images import CLASSES, classification_loss, labelled_images
from bigmodel_lab.subjects.base import Subject


class AlexNet(nn.Module):
    """Five convolutions, three linear layers."""

    def __init__(self, classes: int = CLASSES, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.to_6x6 = nn.AdaptiveAvgPool2d(6)
        self.decide = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, shape (B, classes), for images (B, 3, height, width)."""
        x = self.to_6x6(self.features(images))  # (B, 256, 6, 6)
        scores: Tensor = self.decide(torch.flatten(x, 1))
        return scores


SUBJECT = Subject(
    name="alexnet",
    build=AlexNet,
    batch=labelled_images,
    loss=classification_loss,
    parameters=61_100_840,
    inputs=Text("subject.inputs.image_224", "A colour image, 3×224×224."),
    source="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, one tower",
    idea=Text(
        "subject.alexnet.idea",
        "Five convolutions and three wide linear layers, the network that won the ImageNet contest of 2012, in its "
        "form for one GPU.",
    ),
    training=Text("subject.alexnet.training", "SGD with momentum 0.9, batches of 128 images."),
    sizes={"height": 224, "width": 224},
)
