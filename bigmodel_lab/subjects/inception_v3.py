"""Inception v3: at each place several convolutions side by side, large windows taken apart into small ones.

In training a second, small classifier in the middle of the network adds to the loss; its activations are alive until
the backward pass has come down to it.

Shapes of one sample; batch normalization (ε 0.001) and ReLU follow each convolution::

    3×299×299 → 3×3 stride 2 → 3×3 → 3×3 padded → 64×147×147 → MaxPool 3 stride 2 → 64×73×73
              → 1×1 → 3×3 → 192×71×71 → MaxPool 3 stride 2 → 192×35×35
              → 3 × Fives     → 256, 288, 288 ×35×35
              → Shrink17      → 768×17×17
              → 4 × Sevens    → 768×17×17        → in training: the second classifier, Linear 1000
              → Shrink8       → 1280×8×8
              → 2 × Spread    → 2048×8×8 → mean over the places → Dropout → Linear 1000

Source: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, table 1, figures 5 to 7, 8
(second classifier) and 10, section 8 for the training. The paper leaves the widths of the branches open; they are
those of the model that its authors released, which has 27,161,264 weights with the second classifier and 23,834,568
without. That release also weighs the second loss with 0.4. A batch has at least two samples in training: behind the second classifier's
pooling one place is left, and batch normalization needs two values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._images import CLASSES, labelled_images
from bigmodel_lab.subjects._layers import conv_norm
from bigmodel_lab.subjects.base import Batch, Subject

SECOND_WEIGHT = 0.4
"""Part of the second classifier's loss in the whole."""
SMOOTHING = 0.1
"""Probability that label smoothing spreads over all classes (section 7 of the paper)."""


def conv(
    inputs: int, outputs: int, kernel: int | tuple[int, int], *, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    """Convolution, batch normalization with ε 0.001, ReLU."""
    return conv_norm(inputs, outputs, kernel, nn.ReLU(inplace=True), stride=stride, padding=padding, eps=1e-3)


def pooled(inputs: int, outputs: int) -> nn.Sequential:
    """Mean over 3×3 at every place, then a 1×1 convolution."""
    return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv(inputs, outputs, 1))


class Beside(nn.Module):
    """Branches over the same input, their channels one after the other."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, sum of the branches' channels, H', W')."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def fives(inputs: int, pool: int) -> Beside:
    """1×1, 5×5, two 3×3, and a pooling: 224 + ``pool`` channels (figure 5, its 5×5 kept as released)."""
    return Beside(
        conv(inputs, 64, 1),
        nn.Sequential(conv(inputs, 48, 1), conv(48, 64, 5)),
        nn.Sequential(conv(inputs, 64, 1), conv(64, 96, 3), conv(96, 96, 3)),
        pooled(inputs, pool),
    )


def shrink_to_17(inputs: int) -> Beside:
    """Half the height and width, 480 more channels (figure 10)."""
    return Beside(
        conv(inputs, 384, 3, stride=2, padding=0),
        nn.Sequential(conv(inputs, 64, 1), conv(64, 96, 3), conv(96, 96, 3, stride=2, padding=0)),
        nn.MaxPool2d(3, stride=2),
    )


def sevens(inputs: int, narrow: int) -> Beside:
    """1×1, 7×7 once and twice as rows and columns, and a pooling: 768 channels (figure 6)."""
    return Beside(
        conv(inputs, 192, 1),
        nn.Sequential(conv(inputs, narrow, 1), conv(narrow, narrow, (1, 7)), conv(narrow, 192, (7, 1))),
        nn.Sequential(
            conv(inputs, narrow, 1),
            conv(narrow, narrow, (7, 1)),
            conv(narrow, narrow, (1, 7)),
            conv(narrow, narrow, (7, 1)),
            conv(narrow, 192, (1, 7)),
        ),
        pooled(inputs, 192),
    )


def shrink_to_8(inputs: int) -> Beside:
    """Half the height and width, 512 more channels."""
    return Beside(
        nn.Sequential(conv(inputs, 192, 1), conv(192, 320, 3, stride=2, padding=0)),
        nn.Sequential(
            conv(inputs, 192, 1),
            conv(192, 192, (1, 7)),
            conv(192, 192, (7, 1)),
            conv(192, 192, 3, stride=2, padding=0),
        ),
        nn.MaxPool2d(3, stride=2),
    )


def spread(inputs: int) -> Beside:
    """1×1, rows beside columns, the same behind a 3×3, and a pooling: 2048 channels (figure 7)."""
    return Beside(
        conv(inputs, 320, 1),
        nn.Sequential(conv(inputs, 384, 1), _rows_and_columns()),
        nn.Sequential(conv(inputs, 448, 1), conv(448, 384, 3), _rows_and_columns()),
        pooled(inputs, 192),
    )


def _rows_and_columns() -> Beside:
    return Beside(conv(384, 384, (1, 3)), conv(384, 384, (3, 1)))


class InceptionV3(nn.Module):
    """The stem, eleven groups of branches, and two classifiers."""

    def __init__(self, classes: int = CLASSES, dropout: float = 0.5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 32, 3, stride=2, padding=0),
            conv(32, 32, 3, padding=0),
            conv(32, 64, 3),
            nn.MaxPool2d(3, stride=2),
            conv(64, 80, 1),
            conv(80, 192, 3, padding=0),
            nn.MaxPool2d(3, stride=2),
        )
        self.at_35 = nn.Sequential(fives(192, 32), fives(256, 64), fives(288, 64))
        widths = (128, 160, 160, 192)
        self.at_17 = nn.Sequential(shrink_to_17(288), *(sevens(768, narrow) for narrow in widths))
        self.second = nn.Sequential(
            nn.AvgPool2d(5, stride=3), conv(768, 128, 1), conv(128, 768, 5, padding=0), *_classifier(768, classes)
        )
        self.at_8 = nn.Sequential(shrink_to_8(768), spread(1280), spread(2048))
        self.decide = nn.Sequential(*_classifier(2048, classes, dropout))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores of the classes, (B, classes), and those of the second classifier; None outside training.

        Args:
            images: Shape (B, 3, height, width), from 299 pixels.
        """
        x = self.at_17(self.at_35(self.stem(images)))  # (B, 768, 17, 17)
        second = self.second(x) if self.training else None
        return self.decide(self.at_8(x)), second


def _classifier(channels: int, classes: int, dropout: float = 0.0) -> tuple[nn.Module, ...]:
    """Mean over the places, then one linear layer."""
    return nn.AdaptiveAvgPool2d(1), nn.Dropout(dropout), nn.Flatten(), nn.Linear(channels, classes)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy with smoothed labels, in nats; in training with that of the second classifier."""
    scores, second = model(batch["images"])
    total = F.cross_entropy(scores, batch["labels"], label_smoothing=SMOOTHING)
    if second is not None:
        total = total + SECOND_WEIGHT * F.cross_entropy(second, batch["labels"], label_smoothing=SMOOTHING)
    return total


SUBJECT = Subject(
    name="inception_v3",
    build=InceptionV3,
    batch=labelled_images,
    loss=loss,
    parameters=27_161_264,
    inputs=Text("subject.inception_v3.inputs", "A colour image, 3×299×299."),
    source="Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, table 1",
    idea=Text(
        "subject.inception_v3.idea",
        "Branches of small convolutions side by side; a second classifier in the middle helps the training.",
    ),
    training=Text("subject.inception_v3.training", "RMSprop with decay 0.9, 50 replicas with batches of 32 images."),
    sizes={"height": 299, "width": 299},
    fewest_samples=2,
)
