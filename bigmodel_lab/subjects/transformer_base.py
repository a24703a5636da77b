"""The Transformer of "Attention Is All You Need", base model: it reads one language and writes another.

Shapes of one sample of S source and T target tokens; dropout 0.1 before each "+"::

    source    S → Embedding · √512 + position → S×512
                → 6 × [ attention over the source → + → LayerNorm → 2048 → ReLU → 512 → + → LayerNorm ]
    target    T → the same embedding · √512 + position → T×512
                → 6 × [ attention over what is already written → + → LayerNorm
                        → attention over the source            → + → LayerNorm → 2048 → ReLU → 512 → + → LayerNorm ]
                → the same embedding, transposed → T × 37000 scores

Attention has 8 heads of 64 numbers: softmax(Q·Kᵀ/√64)·V. Embedding and output share one matrix.

Source: Vaswani et al. 2017, Attention Is All You Need, section 3 and table 3 (base: 65 million weights, rounded), section 5 for the
training. The vocabulary is "about 37000" tokens there and 37,000 here; linear layers have a bias. Sentences of a batch
have one length here, so that nothing is masked but the future.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects.base import Batch, Subject

WIDTH = 512
"""Numbers that describe a token between the layers."""
HEADS = 8
"""Relations that are looked for at once, each in 64 numbers."""
FEED_FORWARD = 2048
"""Numbers inside the feed-forward part."""
LAYERS = 6
"""Of the encoder, and of the decoder."""
VOCABULARY = 37_000
"""Tokens of English and German together."""
SMOOTHING = 0.1
"""Probability that label smoothing spreads over all tokens (section 5.4)."""


class Attention(nn.Module):
    """Eight heads: each place of ``x`` gathers from the places of ``memory``."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, memory: Tensor, *, causal: bool = False) -> Tensor:
        """Shape (B, T, 512) for ``x`` (B, T, 512) and ``memory`` (B, S, 512); causal: only places up to its own."""
        query, key, value = (
            part.unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)  # (B, 8, places, 64)
            for part in (self.query(x), self.key(memory), self.value(memory))
        )
        found = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        gathered: Tensor = self.output(found.transpose(1, 2).flatten(2))  # (B, T, 512)
        return gathered


class Added(nn.Module):
    """Residual way: dropout, sum, LayerNorm."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Shape of both, (B, T, 512)."""
        together: Tensor = self.norm(x + self.dropout(change))
        return together


def feed_forward() -> nn.Sequential:
    """512 → 2048 → ReLU → 512, place by place."""
    return nn.Sequential(nn.Linear(WIDTH, FEED_FORWARD), nn.ReLU(), nn.Linear(FEED_FORWARD, WIDTH))


class EncoderLayer(nn.Module):
    """Attention over the source and a feed-forward part."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.attention, self.add_attention = Attention(), Added(dropout)
        self.think, self.add_thought = feed_forward(), Added(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """From and to (B, S, 512)."""
        x = self.add_attention(x, self.attention(x, x))
        described: Tensor = self.add_thought(x, self.think(x))
        return described


class DecoderLayer(nn.Module):
    """Attention over what is written, attention over the source, and a feed-forward part."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.own, self.add_own = Attention(), Added(dropout)
        self.other, self.add_other = Attention(), Added(dropout)
        self.think, self.add_thought = feed_forward(), Added(dropout)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """From and to (B, T, 512); ``source`` is what the encoder made, (B, S, 512)."""
        x = self.add_own(x, self.own(x, x, causal=True))
        x = self.add_other(x, self.other(x, source))
        described: Tensor = self.add_thought(x, self.think(x))
        return described


class TransformerBase(nn.Module):
    """Encoder, decoder, and the one embedding of both."""

    def __init__(self, vocabulary: int = VOCABULARY, layers: int = LAYERS, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(EncoderLayer(dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(dropout) for _ in range(layers))
        nn.init.normal_(self.embedding.weight, std=WIDTH**-0.5)  # 1 once it is scaled

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores of the next token at each place, (B, T, vocabulary), for tokens (B, S) and (B, T)."""
        read = self._embed(source)
        for encoder_layer in self.encoder:
            read = encoder_layer(read)  # (B, S, 512)
        x = self._embed(target)
        for decoder_layer in self.decoder:
            x = decoder_layer(x, read)  # (B, T, 512)
        return F.linear(x, self.embedding.weight)

    def _embed(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) * math.sqrt(WIDTH)
        described: Tensor = self.dropout(x + positions(tokens.shape[1], x))
        return described


def positions(length: int, like: Tensor) -> Tensor:
    """Sine and cosine of each place at 256 wavelengths, shape (length, 512).

    Args:
        length: Places, from 0.
        like: A tensor of the wanted type, on the wanted device.

    >>> positions(2, torch.zeros(1))[:, :2].round(decimals=4).tolist()
    [[0.0, 1.0], [0.8414999842643738, 0.5403000116348267]]
    """
    place = torch.arange(length, device=like.device, dtype=like.dtype).unsqueeze(1)
    pair = torch.arange(0, WIDTH, 2, device=like.device, dtype=like.dtype)
    angle = place * torch.exp(pair * (-math.log(10_000) / WIDTH))  # (length, 256)
    return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)


def batch(samples: int, *, source_length: int, target_length: int) -> Batch:
    """Sentences of both languages; the target holds one token more, as each but the last has a next one.

    >>> {name: tuple(tensor.shape) for name, tensor in batch(2, source_length=64, target_length=64).items()}
    {'source': (2, 64), 'target': (2, 65)}
    """
    return {
        "source": torch.zeros(samples, source_length, dtype=torch.int64),
        "target": torch.zeros(samples, target_length + 1, dtype=torch.int64),
    }


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of the next tokens with smoothed labels, in nats."""
    scores = model(batch["source"], batch["target"][:, :-1])
    return F.cross_entropy(scores.flatten(0, 1), batch["target"][:, 1:].flatten(), label_smoothing=SMOOTHING)


SUBJECT = Subject(
    name="transformer_base",
    build=TransformerBase,
    batch=batch,
    loss=loss,
    parameters=63_082_496,
    inputs=Text("subject.transformer_base.inputs", "A sentence and its translation, 64 tokens each, out of 37,000."),
    source="Vaswani et al. 2017, Attention Is All You Need, section 3 and table 3, base",
    idea=Text(
        "subject.transformer_base.idea",
        "An encoder reads a sentence, a decoder writes its translation token by token; both are attention.",
    ),
    training=Text(
        "subject.transformer_base.training",
        "Adam with β₂ 0.98 and warm-up, batches of about 25,000 tokens of each language over 8 cards.",
    ),
    sizes={"source_length": 64, "target_length": 64},
)
