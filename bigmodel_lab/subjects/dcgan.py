"""DCGAN: a generator that makes images of noise, and a discriminator that learns to tell them from real ones.

Shapes of one sample; each (transposed) convolution is 5×5 with stride 2, without bias::

    generator       100 → Linear → 1024×4×4 → 512×8×8 → 256×16×16 → 128×32×32 → 3×64×64
                    batch normalization and ReLU after all but the last, which ends in tanh (pixels -1 … 1)
    discriminator   3×64×64 → 128×32×32 → 256×16×16 → 512×8×8 → 1024×4×4 → Linear → 1 score
                    LeakyReLU 0.2 after each, batch normalization in all but the first

**One step trains both.** The loss is the discriminator's (real images are real, made ones are not) plus the generator's
(the made images pass for real). Each player must get the gradient of its own part alone: the discriminator judges
the made images once detached from the generator, and once with its own weights detached. So the gradients are
those of the usual two steps, taken at the same weights. In memory, though, all three passes of the discriminator
are alive at once; two steps one after the other, with two optimizers, need less at their peak.

Source: Radford et al. 2016, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks, figure 1 and section 4 (Adam, learning rate 0.0002, β₁ 0.5, batches of 128); widths of the discriminator, windows
and missing biases as in the code that its authors released for faces. There the first normalization is one a number,
here one a channel, so that a batch may have one sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects.base import Batch, Subject

NOISE = 100
"""Numbers that an image is made of."""
CHANNELS = (1024, 512, 256, 128)
"""Of the generator from the 4×4 image up; the discriminator has them the other way round."""


class Generator(nn.Module):
    """From noise to an image."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.project = nn.Linear(NOISE, channels[0] * 4 * 4, bias=False)
        self.grow = nn.Sequential(
            nn.Unflatten(1, (channels[0], 4, 4)),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
            *_growing(channels),
            nn.ConvTranspose2d(channels[-1], 3, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.Tanh(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Images (B, 3, 64, 64) with pixels -1 … 1, of noise (B, 100)."""
        images: Tensor = self.grow(self.project(noise))  # (B, 16384) → (B, 1024, 4, 4) → (B, 3, 64, 64)
        return images


class Discriminator(nn.Module):
    """From an image to how real it looks."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.shrink = nn.Sequential(
            nn.Conv2d(3, channels[-1], 5, stride=2, padding=2, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            *_shrinking(channels),
            nn.Flatten(),
        )
        self.judge = nn.Linear(channels[0] * 4 * 4, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, 1), above 0 where the image looks real: log-odds, the sigmoid is in the loss."""
        scores: Tensor = self.judge(self.shrink(images))
        return scores


def _growing(channels: Sequence[int]) -> Iterator[nn.Module]:
    for inputs, outputs in pairwise(channels):
        yield nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=False)
        yield nn.BatchNorm2d(outputs)
        yield nn.ReLU(inplace=True)


def _shrinking(channels: Sequence[int]) -> Iterator[nn.Module]:
    for inputs, outputs in pairwise(channels[::-1]):
        yield nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, bias=False)
        yield nn.BatchNorm2d(outputs)
        yield nn.LeakyReLU(0.2, inplace=True)


class DCGAN(nn.Module):
    """Both players."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.generator = Generator(channels)
        self.discriminator = Discriminator(channels)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (B, 1) of real images, of made ones for the discriminator, of made ones for the generator.

        Args:
            images: Real ones, shape (B, 3, 64, 64), pixels -1 … 1.
            noise: Shape (B, 100), -1 … 1.
        """
        made = self.generator(noise)
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        passing = functional_call(self.discriminator, fixed, (made,))
        return self.discriminator(images), self.discriminator(made.detach()), passing


def batch(samples: int) -> Batch:
    """Real images and the noise for as many made ones.

    >>> {name: tuple(tensor.shape) for name, tensor in batch(2).items()}
    {'images': (2, 3, 64, 64), 'noise': (2, 100)}
    """
    return {"images": torch.zeros(samples, 3, 64, 64), "noise": torch.zeros(samples, NOISE)}


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Loss of the discriminator plus loss of the generator, each a mean binary cross-entropy in nats."""
    real, made, passing = model(batch["images"], batch["noise"])
    of_discriminator = _says(real, 1.0) + _says(made, 0.0)
    return of_discriminator + _says(passing, 1.0)


def _says(scores: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))


SUBJECT = Subject(
    name="dcgan",
    build=DCGAN,
    batch=batch,
    loss=loss,
    parameters=36_087_808,
    inputs=Text("subject.dcgan.inputs", "A colour image, 3×64×64, and 100 numbers of noise."),
    source="Radford et al. 2016, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial "
    "Networks, figure 1",
    idea=Text(
        "subject.dcgan.idea",
        "A generator makes images of noise, a discriminator learns to tell them from real ones; one step trains both.",
    ),
    training=Text("subject.dcgan.training", "Adam with learning rate 0.0002 and β₁ 0.5, batches of 128 images."),
)
