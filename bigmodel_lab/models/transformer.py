"""The Transformer: every word looks at every other at once.

Idea: self-attention compares a query of each word with a key of each other, and takes the
mean of their values, weighted by how well they agree. Eight heads look for eight
relations at once. All words are computed together, which is what makes it quick.

Shapes of one sample, T tokens::

    T → Embedding + position → T×512
      → N × [ 8 heads × 64: softmax(Q·Kᵀ/√64)·V → + → LayerNorm → Linear 1024 → ReLU → Linear 512 → + → LayerNorm ]
      → next token: Linear → T×vocabulary (each place sees only those before it)
      → classification: mean over the real tokens → Linear classes

Source: D2 (002_8600cd622cea1d62), core algorithms, section 3, and mathematical models, section 3;
Vaswani et al. 2017, Attention Is All You Need. The document gives 8 heads of 64 and leaves
the number of layers and the width of the feed-forward part open: 2 and 1024 here.

Errata, each proved in ``tests/models/test_errata.py``:

- Attention is printed as Q·Kᵀ/√d ⊙ V, without softmax and with a product element by element,
  for which the shapes do not fit. It is softmax(Q·Kᵀ/√d)·V.
- The printed steps have no position. Without one, attention sees a bag of words: it cannot
  tell one order from another. Here a learned position is added to the embedding.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import Text, text
from bigmodel_lab.models._tokens import need_vocabulary, real
from bigmodel_lab.models.base import Defaults, ModelCard

HEADS = 8
"""Relations that are looked for at once."""
HEAD_WIDTH = 64
"""Numbers of a query, a key and a value."""
WIDTH = HEADS * HEAD_WIDTH
"""Numbers that describe a token between the layers."""

TextTask = Literal["next_token", "classification"]
"""What can be learned: the token that follows, at each place; or one class a text."""


class SelfAttention(nn.Module):
    """Eight heads of softmax(Q·Kᵀ/√64)·V over the tokens of one text."""

    def __init__(self) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, real_keys: Tensor | None) -> Tensor:
        """What each token gathers from the others, shape (B, T, 512).

        Args:
            x: Shape (B, T, 512).
            real_keys: True where a token may be looked at, shape (B, T); None lets each see those up to itself.
        """
        parts = self.query_key_value(x).unflatten(2, (3, HEADS, HEAD_WIDTH))  # (B, T, 3, 8, 64)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, 8, T, 64)
        mask = None if real_keys is None else real_keys[:, None, None, :]  # (B, 1, 1, T)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        gathered: Tensor = self.output(found.transpose(1, 2).flatten(2))  # (B, T, 512)
        return gathered


class Block(nn.Module):
    """Attention and a feed-forward part, each with its residual way and its LayerNorm behind it."""

    def __init__(self, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, feed_forward)
        self.narrow = nn.Linear(feed_forward, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real_keys: Tensor | None) -> Tensor:
        """Better descriptions of the tokens, shape (B, T, 512); arguments as for the attention."""
        x = self.norm1(x + self.dropout(self.attention(x, real_keys)))
        described: Tensor = self.norm2(x + self.dropout(self.narrow(F.relu(self.widen(x)))))
        return described


class Transformer(nn.Module):
    """Embedding with position, N blocks, one linear layer."""

    def __init__(
        self,
        vocabulary: int = 4096,
        classes: int = 4096,
        length: int = 64,
        task: TextTask = "next_token",
        *,
        layers: int = 2,
        feed_forward: int = 1024,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        need_vocabulary("transformer", vocabulary)
        _check_task(task)
        self.causal = task == "next_token"
        self.token = nn.Embedding(vocabulary, WIDTH)
        self.position = nn.Embedding(length, WIDTH)
        self.blocks = nn.ModuleList(Block(feed_forward, dropout) for _ in range(layers))
        self.output = nn.Linear(WIDTH, classes)
        for embedding in (self.token, self.position):  # small, so that the output starts near equal chances
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits for a batch of texts (B, T): (B, T, vocabulary) of next tokens, else (B, classes)."""
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]  # (B, T, 512)
        seen = None if self.causal else real(tokens)  # (B, T)
        for block in self.blocks:
            x = block(x, seen)
        if seen is not None:
            weight = seen.to(x.dtype) / seen.sum(1, keepdim=True)  # (B, T), 1 in all over the real tokens
            x = (x * weight.unsqueeze(2)).sum(1)  # (B, 512)
        logits: Tensor = self.output(x)
        return logits


def _check_task(task: str) -> None:
    if task not in get_args(TextTask):
        raise ConfigError(
            text(
                "error.transformer_task",
                "The transformer learns {allowed}, not {task!r}. Take data such as docs_next_token or docs_topics.",
                allowed=" | ".join(get_args(TextTask)),
                task=task,
            )
        )


MODEL = ModelCard(
    name="transformer",
    build=Transformer,
    input_shape=(64,),
    classes=4096,
    parameters=8_436_736,
    source="D2 (002_8600cd622cea1d62), core algorithms, section 3, and mathematical models, section 3",
    idea=Text(
        "model.transformer.idea",
        "Blocks of self-attention with 8 heads of 64 numbers: every token looks at the others, all at once.",
    ),
    # The document does not say how it is trained; Adam is the optimizer of its section 2.
    defaults=Defaults(optimizer="adam", learning_rate=3e-4, micro_batch_size=32, epochs=10, precision="fp32"),
    data="docs_next_token",
    takes=("vocabulary", "classes", "length", "task"),
    output_shape=(64, 4096),
    input_dtype="int64",
    errata=(
        Text(
            "model.transformer.erratum_attention",
            "The document prints attention without softmax and with a product element by element. It is "
            "softmax(Q·Kᵀ/√d)·V.",
        ),
        Text(
            "model.transformer.erratum_position",
            "The document's steps have no position, without which attention cannot tell one order of the words from "
            "another. Here a learned position is added.",
        ),
    ),
)
