"""WaveNet: sound, one sample after the other, each guessed from the thousands before it.

Convolutions that see only the past, with gaps that double from layer to layer, look far back with few weights. Nothing
gets shorter on the way: every layer keeps a signal of 512 channels as long as the sound, which is what fills the memory.

Shapes of one sample of T codes::

    T codes 0 … 255 → shifted by one, as numbers -1 … 1 → 1×T
      → causal Conv 512, window 3 → 512×T
      → 3 × 10 layers, gap 1, 2, 4 … 512:
            causal Conv 1024, window 3 → tanh of one half · sigmoid of the other → 512×T
              → 1×1 to 512, added to the layer's input → on to the next layer
              → 1×1 to 256, added up over all layers   → skips
      skips 256×T → ReLU → 1×1 256 → ReLU → 1×1 256 → scores of the 256 codes at each place

Source: van den Oord et al. 2016, WaveNet: A Generative Model for Raw Audio, sections 2.1 to 2.4. The paper gives no widths
and no number of layers; they are those of the decoder in Engel et al. 2017, Neural Audio Synthesis of Musical Notes with
WaveNet Autoencoders (released configuration ``h512_bo16``: 30 layers, 512 and 256 channels, window 3, pieces of 6,144
samples), here without the code of the note, and without the residual way of the last layer, which leads nowhere. The
count of weights follows from them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects.base import Batch, Subject

CODES = 256
"""Loudnesses that are told apart, on the logarithmic µ-law scale (section 2.2 of the paper)."""
WINDOW = 3
"""Places that a convolution looks at."""
GAPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) * 3
"""Distance of these places, layer by layer."""


class CausalConv(nn.Module):
    """Convolution over the present and the past; the sound keeps its length."""

    def __init__(self, inputs: int, outputs: int, gap: int = 1) -> None:
        super().__init__()
        self.past = (WINDOW - 1) * gap
        self.conv = nn.Conv1d(inputs, outputs, WINDOW, dilation=gap)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, T) to (B, outputs, T)."""
        heard: Tensor = self.conv(F.pad(x, (self.past, 0)))
        return heard


class Layer(nn.Module):
    """A gated convolution with its residual way and its skip."""

    def __init__(self, channels: int, skips: int, gap: int, *, last: bool) -> None:
        super().__init__()
        self.look = CausalConv(channels, 2 * channels, gap)
        self.residual = None if last else nn.Conv1d(channels, channels, 1)
        self.skip = nn.Conv1d(channels, skips, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What goes on, (B, channels, T), and what skips to the end, (B, skips, T)."""
        signal, gate = self.look(x).chunk(2, dim=1)
        heard = torch.tanh(signal) * torch.sigmoid(gate)
        return x if self.residual is None else x + self.residual(heard), self.skip(heard)


class WaveNet(nn.Module):
    """Thirty layers whose skips are added up."""

    def __init__(self, channels: int = 512, skips: int = 256) -> None:
        super().__init__()
        self.start = CausalConv(1, channels)
        self.first_skip = nn.Conv1d(channels, skips, 1)
        last = len(GAPS) - 1
        self.layers = nn.ModuleList(Layer(channels, skips, gap, last=n == last) for n, gap in enumerate(GAPS))
        self.decide = nn.Sequential(
            nn.ReLU(), nn.Conv1d(skips, skips, 1), nn.ReLU(inplace=True), nn.Conv1d(skips, CODES, 1)
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Scores of the code at each place, from those before it: (B, 256, T) for codes (B, T)."""
        past = F.pad(codes[:, :-1], (1, 0), value=CODES // 2)  # silence before the first
        x = self.start((past / (CODES / 2) - 1).unsqueeze(1))  # (B, 1, T) → (B, channels, T)
        total = self.first_skip(x)
        for layer in self.layers:
            x, skip = layer(x)
            total = total + skip  # (B, skips, T)
        scores: Tensor = self.decide(total)
        return scores


def receptive_field() -> int:
    """Codes before a place that decide about it.

    >>> receptive_field()
    6141
    """
    return 1 + (WINDOW - 1) * (1 + sum(GAPS))


def batch(samples: int, *, length: int) -> Batch:
    """Pieces of sound as codes 0 … 255; each piece is input and target at once.

    >>> {name: tuple(tensor.shape) for name, tensor in batch(2, length=6144).items()}
    {'codes': (2, 6144)}
    """
    return {"codes": torch.zeros(samples, length, dtype=torch.int64)}


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over all places of all pieces, in nats."""
    return F.cross_entropy(model(batch["codes"]), batch["codes"])


SUBJECT = Subject(
    name="wavenet",
    build=WaveNet,
    batch=batch,
    loss=loss,
    parameters=59_038_464,
    inputs=Text("subject.wavenet.inputs", "6,144 samples of sound as codes 0 … 255: 0.38 s at 16 kHz."),
    source="van den Oord et al. 2016, WaveNet: A Generative Model for Raw Audio, section 2; widths of Engel et al. 2017, "
    "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders",
    idea=Text(
        "subject.wavenet.idea",
        "Thirty convolutions with growing gaps guess each sample of a sound from those of the last 0.38 s.",
    ),
    training=Text(
        "subject.wavenet.training", "Adam, learning rate from 2e-4 down, 200,000 steps on pieces of 6,144 samples."
    ),
    sizes={"length": 6144},
)
