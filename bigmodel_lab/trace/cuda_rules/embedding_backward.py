"""The gradient of an embedding sorts the token numbers where there are many, and sums pieces of equal ones in 32 bits.

A newer kernel that needs no pieces, for few words that come up often, is not charged less: it is taken by the
number of a card's processors.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_WITHOUT_SORTING = 3072
"""Up to this many token numbers a kernel without sorting is taken."""
_ROWS_A_PIECE = 10


def _sorted(call: Call, _target: Target) -> Iterable[Extra]:
    """Sorted token numbers, their places and segments; and a row of the table for each piece."""
    gradient, indices, words = call.args[0], call.args[1], call.args[2]
    tokens = indices.numel()
    if tokens <= _WITHOUT_SORTING and not (len(call.args) > 4 and call.args[4]):
        return
    segments = min(tokens, words)
    pieces = tokens // _ROWS_A_PIECE + segments
    yield Extra((3 * tokens + 2 * segments + pieces) * indices.element_size(), "embedding: sorted token numbers")
    number_bytes = 8 if gradient.dtype == torch.float64 else 4
    yield Extra(pieces * gradient.shape[-1] * number_bytes, "embedding: sums of pieces")


RULE = Rule(
    name="embedding_backward",
    meaning=Text(
        "rule.embedding_backward", "The gradient of an embedding sorts the token numbers and sums them in pieces."
    ),
    source="pytorch aten/src/ATen/native/cuda/Embedding.cu, embedding_dense_backward_cuda; EmbeddingBackwardKernel.cu",
    operations={"aten.embedding_dense_backward": _sorted},
)
