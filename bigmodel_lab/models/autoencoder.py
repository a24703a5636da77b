"""A network that squeezes an image into 32 numbers and gives it back from them.

Idea: the encoder makes the image smaller and smaller down to a code, the decoder makes an
image of the code again, and the loss is how far that is from the input. Nothing but the code
passes from one to the other, so it must hold what matters; labels are not needed.

Dropout and batch normalization stand in both halves: dropout switches off a tenth of the features at
random in training, so that none is relied upon alone; batch normalization keeps the
features of a layer at mean 0 and variance 1 over the batch, which makes training steadier. It stands
behind convolutions only, where even a batch of one image has many places to average over.

Shapes of one sample::

    encoder  1×28×28 → Conv 16 3×3 stride 2 → 16×14×14 → BatchNorm → ReLU
                     → Conv 32 3×3 stride 2 → 32×7×7   → BatchNorm → ReLU → Dropout 0.1 → Flatten 1568 → Linear 32
    code     32
    decoder  Linear 1568 → 32×7×7 → ReLU → Dropout 0.1
                     → ConvTranspose 16 4×4 stride 2 → 16×14×14 → BatchNorm → ReLU
                     → ConvTranspose 1 4×4 stride 2  → 1×28×28  → sigmoid (pixels 0 … 1)

Source: D3 (003_55378ef5ad9a4593), sections 3.1 and 3.2. It names autoencoder, dropout and batch
normalization and gives no sizes, no loss and no listing: the sizes are ours, the loss is the mean
squared error over all pixels, optimizer, batch and epochs are those of its section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


class Encoder(nn.Module):
    """From an image of 28×28 pixels to a code."""

    def __init__(self, code: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.dropout = nn.Dropout(dropout)
        self.to_code = nn.Linear(32 * 7 * 7, code)

    def forward(self, x: Tensor) -> Tensor:
        """The codes of a batch of images, shape (samples, code)."""
        x = F.relu(self.norm1(self.conv1(x)))  # (B, 1, 28, 28) → (B, 16, 14, 14)
        x = F.relu(self.norm2(self.conv2(x)))  # (B, 32, 7, 7)
        x = torch.flatten(self.dropout(x), 1)  # (B, 1568)
        codes: Tensor = self.to_code(x)  # (B, code)
        return codes


class Decoder(nn.Module):
    """From a code back to an image of 28×28 pixels."""

    def __init__(self, code: int, dropout: float) -> None:
        super().__init__()
        self.from_code = nn.Linear(code, 32 * 7 * 7)
        self.dropout = nn.Dropout(dropout)
        self.up1 = nn.ConvTranspose2d(32, 16, kernel_size=4, stride=2, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.up2 = nn.ConvTranspose2d(16, 1, kernel_size=4, stride=2, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        """The images of a batch of codes, pixels 0 … 1."""
        x = self.dropout(F.relu(self.from_code(codes)))  # (B, code) → (B, 1568)
        x = x.unflatten(1, (32, 7, 7))
        x = F.relu(self.norm1(self.up1(x)))  # (B, 16, 14, 14)
        return torch.sigmoid(self.up2(x))  # (B, 1, 28, 28)


class Autoencoder(nn.Module):
    """Encoder, code, decoder."""

    def __init__(self, *, code: int = 32, dropout: float = 0.1) -> None:
        """Args: ``code`` is how many numbers stand for an image, from 1; ``dropout`` a share from 0 to below 1."""
        super().__init__()
        self.encoder = Encoder(code, dropout)
        self.decoder = Decoder(code, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The images as they come back, of the shape of ``x``, pixels 0 … 1."""
        images: Tensor = self.decoder(self.encoder(x))  # (B, 1, 28, 28) → (B, code) → (B, 1, 28, 28)
        return images


MODEL = ModelCard(
    name="autoencoder",
    build=Autoencoder,
    input_shape=(1, 28, 28),
    classes=None,
    parameters=115_345,
    source="D3 (003_55378ef5ad9a4593), sections 3.1 and 3.2",
    idea=Text(
        "model.autoencoder.idea",
        "Squeezes an image into 32 numbers and gives it back from them, so that these must hold what matters.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=32, epochs=10, precision="fp32"),
    data="digits_reconstruction",
    output_shape=(1, 28, 28),
)
