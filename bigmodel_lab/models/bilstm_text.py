"""A recurrent network that reads a text from both ends and tells its topic.

Idea: an LSTM goes through the words and keeps what matters in 128 numbers. One reads from
the first word to the last, one from the last to the first; what the two have kept at the
end of their way decides. Long texts cost one step a word: nothing here runs at once.

Shapes of one sample, T tokens, 0 behind the end of the text::

    T → Embedding → T×64 → LSTM 128, left to right, state at the last word  ┐
                         → LSTM 128, right to left, state at the first word ┴→ 256 → Linear classes

Source: D0 (000_7729297fffeb390e), section 5.2.

Errata: the document never cuts its text into tokens, and defines neither vocabulary, length,
classes nor the size of the embedding (64 here), nor does it read any labels. Its
``Embedding`` does not mask the padding, so that the state it takes is the one behind the
padding; here it is the one at the last real word. It validates on the test texts. The
softmax at its end is part of the loss here. Section 4.2.3 derives the tanh of the LSTM
wrongly: tanh′(x) is 1 - tanh²(x).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigmodel_lab.i18n import Text
from bigmodel_lab.models._tokens import PADDING, lengths, need_vocabulary
from bigmodel_lab.models.base import Defaults, ModelCard

UNITS = 128
"""Units of the LSTM in each direction."""


class BiLSTMText(nn.Module):
    """Embedding, an LSTM each way, one linear layer.

    Two LSTMs of one direction each: they compute what a bidirectional one does on packed
    sequences, but need no lengths on the CPU, so that a GPU is never waited for.
    """

    def __init__(self, vocabulary: int = 8192, classes: int = 6, *, embedding: int = 64) -> None:
        super().__init__()
        need_vocabulary("bilstm_text", vocabulary)
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=PADDING)
        self.rightward = nn.LSTM(embedding, UNITS, batch_first=True)
        self.leftward = nn.LSTM(embedding, UNITS, batch_first=True)
        self.output = nn.Linear(2 * UNITS, classes)
        # As Keras, which the document uses: words that look alike at first are not learned by heart so soon.
        with torch.no_grad():
            self.embedding.weight.uniform_(-0.05, 0.05)[PADDING] = 0

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the classes (logits) for a batch of texts (B, T)."""
        length = lengths(tokens)  # (B,)
        to_right, _ = self.rightward(self.embedding(tokens))  # (B, T, 128)
        to_left, _ = self.leftward(self.embedding(_reversed(tokens, length)))
        both = torch.cat([_at_end(to_right, length), _at_end(to_left, length)], 1)  # (B, 256)
        logits: Tensor = self.output(both)  # (B, classes)
        return logits


def _reversed(tokens: Tensor, length: Tensor) -> Tensor:
    """Each text backwards, with its padding still behind it."""
    place = torch.arange(tokens.shape[1], device=tokens.device)
    last = length.unsqueeze(1) - 1  # (B, 1)
    return tokens.gather(1, torch.where(place <= last, last - place, place))


def _at_end(states: Tensor, length: Tensor) -> Tensor:
    """The state (B, 128) behind the last real token of each text, out of all states (B, T, 128)."""
    return states[torch.arange(states.shape[0], device=states.device), length - 1]


MODEL = ModelCard(
    name="bilstm_text",
    build=BiLSTMText,
    input_shape=(64,),
    classes=6,
    parameters=724_486,
    source="D0 (000_7729297fffeb390e), section 5.2",
    idea=Text(
        "model.bilstm_text.idea",
        "An embedding and an LSTM of 128 units in each direction, which read a text from both ends and tell its topic.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=32, epochs=10, precision="fp32"),
    documented_result="accuracy 85 % on training, 80 % on validation, 75 % on test texts",
    data="docs_topics",
    takes=("vocabulary", "classes"),
    input_dtype="int64",
    errata=(
        Text(
            "model.bilstm_text.erratum_sizes",
            "The document never tokenizes its text nor reads labels, and defines neither vocabulary, length, classes "
            "nor the size of the embedding. Here the data gives the first three; the embedding has 64 numbers.",
        ),
        Text(
            "model.bilstm_text.erratum_padding",
            "The document does not mask the padding and takes the state behind it. Here it is the state at the last "
            "real word.",
        ),
        Text(
            "model.bilstm_text.erratum_validation",
            "The document validates on the test texts. Here validation and test texts are kept apart.",
        ),
        Text(
            "model.bilstm_text.erratum_tanh",
            "The document derives tanh, which an LSTM is made of, wrongly: tanh′(x) is 1 - tanh²(x).",
        ),
    ),
)
