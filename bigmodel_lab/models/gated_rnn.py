"""A recurrent network with gates, GRU or LSTM, that reads an image row by row or a text word by word.

Idea: at each step the network sees one part of the sample, xₜ, and mixes it into a state of
128 numbers, hₜ, which is all that it remembers. Gates are numbers between 0 and 1, computed
anew at each step, that say how much of the old state stays and how much of the new comes in.
Where a gate is open, a state passes through many steps nearly unchanged, and so does its
gradient: that is why gates learn what plain recurrent networks forget.

With σ the sigmoid, ⊙ the product number by number, and weights W and b of their own for each gate:

GRU, ``cell="gru"`` (Cho and others, 2014)::

    rₜ = σ(W_ir·xₜ + b_ir + W_hr·hₜ₋₁ + b_hr)             reset: how much the candidate sees of the old state
    zₜ = σ(W_iz·xₜ + b_iz + W_hz·hₜ₋₁ + b_hz)             update: how much of the old state stays
    nₜ = tanh(W_in·xₜ + b_in + rₜ ⊙ (W_hn·hₜ₋₁ + b_hn))   candidate
    hₜ = (1 - zₜ) ⊙ nₜ + zₜ ⊙ hₜ₋₁

LSTM, ``cell="lstm"`` (Hochreiter and Schmidhuber, 1997; forget gate by Gers and others, 2000)::

    iₜ = σ(W_ii·xₜ + b_ii + W_hi·hₜ₋₁ + b_hi)             input: how much of the candidate comes in
    fₜ = σ(W_if·xₜ + b_if + W_hf·hₜ₋₁ + b_hf)             forget: how much of the old memory stays
    gₜ = tanh(W_ig·xₜ + b_ig + W_hg·hₜ₋₁ + b_hg)          candidate
    oₜ = σ(W_io·xₜ + b_io + W_ho·hₜ₋₁ + b_ho)             output: how much of the memory is shown
    cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ                              memory, beside the state
    hₜ = oₜ ⊙ tanh(cₜ)

Shapes of one sample::

    1×28×28 → 28 steps of 28 → GRU or LSTM 128 → state after the last step 128 → Linear 10

Other images are read by their rows as well (C×H×W: H steps of C·W numbers), sequences (T×F) step
by step, and tokens through an embedding, up to the last that is not padding.

Source: D3 (003_55378ef5ad9a4593), section 3.2. It names the gates and gives no sizes and no
listing: 128 units are ours, optimizer, batch and epochs are those of its section 4.

Errata: the document says that gates make a model less complex. They add weights: a GRU has
three times those of a plain recurrent layer of the same size, an LSTM four times. What they make
easier is learning over many steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import Text, text
from bigmodel_lab.models._tokens import PADDING, lengths
from bigmodel_lab.models.base import Defaults, ModelCard

_CELLS: dict[str, type[nn.GRU | nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class GatedRNN(nn.Module):
    """A layer of 128 units with gates, read after the last step, and a linear layer."""

    def __init__(
        self,
        classes: int = 10,
        input_shape: tuple[int, ...] = (1, 28, 28),
        vocabulary: int = 0,
        *,
        cell: str = "gru",
        units: int = 128,
    ) -> None:
        """Build for images, sequences or text.

        Args:
            classes: Number of classes.
            input_shape: Shape of one sample: (C, H, W), (T, F), or (T,).
            vocabulary: Number of tokens; 0 where samples are not text.
            cell: ``"gru"`` or ``"lstm"``.
            units: Numbers in the state, from 1; for text also those of a word.

        Raises:
            UnknownNameError: There is no such cell.
        """
        super().__init__()
        if cell not in _CELLS:
            raise UnknownNameError(text("model.gated_rnn.kind", "cell with gates"), cell, _CELLS)
        self.words = nn.Embedding(vocabulary, units, padding_idx=PADDING) if vocabulary else None
        self.gates = _CELLS[cell](units if vocabulary else _features(input_shape), units, batch_first=True)
        self.output = nn.Linear(units, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes (logits) for a batch of images, sequences or token numbers."""
        if self.words is None:
            states, _ = self.gates(as_sequence(x))  # (B, 1, 28, 28) → (B, 28, 28) → (B, 28, 128)
            last = states[:, -1]  # (B, 128)
        else:
            states, _ = self.gates(self.words(x))  # (B, T) → (B, T, 128) → (B, T, 128)
            last = states[torch.arange(x.shape[0], device=x.device), lengths(x) - 1]  # (B, 128), at the last word
        logits: Tensor = self.output(last)  # (B, classes)
        return logits


def as_sequence(x: Tensor) -> Tensor:
    """Steps of numbers: the rows of an image, a sequence as it is, single numbers one by one.

    Args:
        x: Shape (B, C, H, W), (B, T, F) or (B, T).

    Returns:
        Shape (B, H, C·W), (B, T, F) or (B, T, 1).

    >>> as_sequence(torch.zeros(5, 3, 32, 16)).shape
    torch.Size([5, 32, 48])
    """
    if x.ndim == 2:
        return x.unsqueeze(2)
    return x.movedim(1, 2).flatten(2) if x.ndim == 4 else x


def _features(input_shape: tuple[int, ...]) -> int:
    """Numbers in one step of such a sample."""
    return as_sequence(torch.empty(1, *input_shape, device="meta")).shape[2]


MODEL = ModelCard(
    name="gated_rnn",
    build=GatedRNN,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=61_962,
    source="D3 (003_55378ef5ad9a4593), section 3.2",
    idea=Text(
        "model.gated_rnn.idea",
        "Reads an image row by row, or a text word by word; gates decide at each step what is kept and what is new.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=32, epochs=10, precision="fp32"),
    takes=("classes", "input_shape", "vocabulary"),
    errata=(
        Text(
            "model.gated_rnn.erratum_complexity",
            "The document says that gates make a model less complex. They add weights, three times those of a plain "
            "recurrent layer for a GRU and four times for an LSTM; what they ease is learning over many steps.",
        ),
    ),
)
