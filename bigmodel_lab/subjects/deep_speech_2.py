"""Deep Speech 2: from the spectrogram of an utterance to its letters, by convolutions and seven recurrent layers.

Shapes of one sample of T frames, one each 10 ms; "same" padding, batch normalization and min(max(x, 0), 20) follow
each convolution, windows are frequency × time::

    1×161×T → Conv 32 41×11 stride 2×2 → 32×81×T/2
            → Conv 32 21×11 stride 2×1 → 32×41×T/2
            → Conv 96 21×11 stride 2×1 → 96×21×T/2 → T/2 steps of 2016 numbers
            → 7 × [ batch normalization → recurrent, 1760 units each way, ReLU → sum of both ways ]
            → batch normalization → Linear 29: blank, a … z, space, apostrophe

Source: Amodei et al. 2016, Deep Speech 2, in the long version arXiv:1512.02595 section 3, "Frequency Convolutions" (three in
two dimensions), and section 4 (scaling of a model with 7 recurrent layers of 1,760 units). The paper counts its weights only roughly; the exact number belongs to this
form. In three things it follows torch's (and cuDNN's) recurrent layer, as everybody runs it: each direction has input weights
of its own where the paper shares them, and what is normalized is the layer's input, not its product with these weights;
nor is the recurrent ReLU cut at 20.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._ctc import ctc_loss
from bigmodel_lab.subjects.base import Batch, Subject

FREQUENCIES = 161
"""Of a window of 20 ms at 16 kHz: 320 / 2 + 1."""
LETTERS = 29
"""Blank, a … z, space, apostrophe."""
CONVOLUTIONS = ((1, 32, 41, 2), (32, 32, 21, 1), (32, 96, 21, 1))
"""Channels in, channels out, frequencies of the window, stride over time; 11 frames and a stride of 2 over frequency."""


def convolution(inputs: int, outputs: int, frequencies: int, stride: int) -> nn.Sequential:
    """One convolution over frequency and time, normalized and cut to 0 … 20."""
    padding = (frequencies // 2, 5)
    conv = nn.Conv2d(inputs, outputs, (frequencies, 11), stride=(2, stride), padding=padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.Hardtanh(0.0, 20.0, inplace=True))


class Normalized(nn.Module):
    """Batch normalization of each feature over all samples and steps."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x: Tensor) -> Tensor:
        """From and to (steps, B, features)."""
        even: Tensor = self.norm(x.flatten(0, 1))
        return even.view(x.shape)


class Recurrent(nn.Module):
    """A recurrent layer that reads both ways and adds what it found."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.norm = Normalized(inputs)
        self.read = nn.RNN(inputs, units, nonlinearity="relu", bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """From (steps, B, inputs) to (steps, B, units)."""
        found, _ = self.read(self.norm(x))  # (steps, B, 2·units)
        forth, back = found.chunk(2, dim=2)
        both: Tensor = forth + back
        return both


class DeepSpeech2(nn.Module):
    """Three convolutions, seven recurrent layers, one linear layer."""

    def __init__(self, units: int = 1760, layers: int = 7) -> None:
        super().__init__()
        self.listen = nn.Sequential(*(convolution(*sizes) for sizes in CONVOLUTIONS))
        rows = -(-FREQUENCIES // 2 ** len(CONVOLUTIONS))  # 21: halved three times, rounded up
        inputs = CONVOLUTIONS[-1][1] * rows
        self.recurrent = nn.Sequential(*(Recurrent(units if n else inputs, units) for n in range(layers)))
        self.spell = nn.Sequential(Normalized(units), nn.Linear(units, LETTERS))

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Log-probabilities of the letters, (steps, B, 29), for spectrograms (B, 1, 161, frames)."""
        x = self.listen(spectrograms)  # (B, 96, 21, steps)
        x = x.flatten(1, 2).permute(2, 0, 1)  # (steps, B, 2016)
        return F.log_softmax(self.spell(self.recurrent(x)), dim=2)


def batch(samples: int, *, frames: int, letters: int) -> Batch:
    """Spectrograms, and the letters that are said.

    >>> {name: tuple(tensor.shape) for name, tensor in batch(2, frames=1000, letters=150).items()}
    {'spectrograms': (2, 1, 161, 1000), 'letters': (2, 150)}
    """
    return {
        "spectrograms": torch.zeros(samples, 1, FREQUENCIES, frames),
        "letters": torch.ones(samples, letters, dtype=torch.int64),
    }


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of connectionist temporal classification a letter, in nats."""
    return ctc_loss(model(batch["spectrograms"]), batch["letters"])


SUBJECT = Subject(
    name="deep_speech_2",
    build=DeepSpeech2,
    batch=batch,
    loss=loss,
    parameters=88_723_869,
    inputs=Text("subject.deep_speech_2.inputs", "A spectrogram of 10 s, 1×161×1000, and 150 letters."),
    source="Amodei et al. 2016, Deep Speech 2: End-to-End Speech Recognition in English and Mandarin, sections 3 and 4",
    idea=Text(
        "subject.deep_speech_2.idea",
        "Convolutions over the spectrogram and seven recurrent layers that read both ways spell what is said.",
    ),
    training=Text(
        "subject.deep_speech_2.training", "SGD with Nesterov momentum 0.99, batches of 512 utterances over all cards."
    ),
    sizes={"frames": 1000, "letters": 150},
)
