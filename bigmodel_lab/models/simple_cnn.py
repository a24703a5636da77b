"""A small convolutional network trained in mixed precision.

Idea: one layer of 32 small filters looks for strokes everywhere in the image, then two
linear layers decide from the strokes which digit it is. Almost all weights lie in the
first linear layer (21632 × 128), because nothing makes the image smaller before it.

Shapes of one sample::

    1×28×28 → Conv 32 3×3 → 32×26×26 → ReLU → Flatten 21632 → Linear 128 → ReLU → Linear 10

Source: D2 (002_8600cd622cea1d62), project chapter, "2. source code and its reading".

Precision: the document trains under autocast with a gradient scaler. Here this happens on
CUDA (fp16 where the document leaves the type open); a CPU and Apple's MPS compute in fp32,
and the run says so.

Errata: the document's "accuracy" is taken on the training images; here the validation and
test images are kept apart. It calls ``torch.cuda.amp``, which newer versions of PyTorch
have replaced by ``torch.amp``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


class SimpleCNN(nn.Module):
    """One convolution and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3)
        self.fc1 = nn.Linear(32 * 26 * 26, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten classes (logits) for a batch of images."""
        x = F.relu(self.conv1(x))  # (B, 1, 28, 28) → (B, 32, 26, 26)
        x = torch.flatten(x, 1)  # (B, 21632)
        x = F.relu(self.fc1(x))  # (B, 128)
        logits: Tensor = self.fc2(x)  # (B, 10)
        return logits


MODEL = ModelCard(
    name="simple_cnn",
    build=SimpleCNN,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=2_770_634,
    source="D2 (002_8600cd622cea1d62), project chapter, section 2",
    idea=Text(
        "model.simple_cnn.idea",
        "One convolution finds strokes, two linear layers read the digit from them. "
        "Trained in mixed precision on a GPU.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=64, epochs=10, precision="fp16"),
    errata=(
        Text(
            "model.simple_cnn.erratum_accuracy",
            "The document measures accuracy on the training images. Here it is measured on images "
            "that the model was not trained on.",
        ),
    ),
)
