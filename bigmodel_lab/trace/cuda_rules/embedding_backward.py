"""The gradient of an embedding sorts the token numbers where there are many, and sums pieces of equal ones in 32 bits.

A newer kernel that needs no pieces, for few words that come up often, is not charged less: it is taken by the
number of a card's processors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_WITHOUT_SORTING = 3072
"""Up to this many token numbers a kernel without sorting is taken."""
_ROWS_A_PIECE = 10
_LARGEST = 2
"""Mode of a bag whose largest number counts."""


def _sorted(call: Call, _target: Target) -> Iterable[Extra]:
    """Sorted token numbers, their places and segments; and a row of the table for each piece."""
    gradient, indices, words = call.args[0], call.args[1], call.args[2]
    by_frequency = bool(len(call.args) > 4 and call.args[4])
    if indices.numel() > _WITHOUT_SORTING or by_frequency:
        yield from _pieces(gradient, indices, words, by_frequency=by_frequency)


def _bags(call: Call, _target: Target) -> Iterable[Extra]:
    """The same, however few tokens there are; the largest of a bag is known by its place."""
    gradient, indices, words, by_frequency, mode = (call.args[place] for place in (0, 1, 6, 7, 8))
    if mode != _LARGEST:
        yield from _pieces(gradient, indices, words, by_frequency=by_frequency)


def _pieces(gradient: Tensor, indices: Tensor, words: int, *, by_frequency: bool) -> Iterable[Extra]:
    tokens = indices.numel()
    segments = min(tokens, words)
    pieces = tokens // _ROWS_A_PIECE + segments
    counted = (4 if by_frequency else 3) * tokens
    yield Extra((counted + 2 * segments + pieces) * indices.element_size(), "embedding: sorted token numbers")
    number_bytes = 8 if gradient.dtype == torch.float64 else 4
    yield Extra(pieces * gradient.shape[-1] * number_bytes, "embedding: sums of pieces")


def _kept_of_bags(call: Call, _target: Target) -> Mapping[int, int]:
    """The bag of each token always, and no places unless the largest is sought."""
    indices, mode = call.args[1], call.args[4] if len(call.args) > 4 else 0
    bags = {1: indices.numel() * indices.element_size()}
    return bags if mode == _LARGEST else {**bags, 3: 0}


RULE = Rule(
    name="embedding_backward",
    meaning=Text(
        "rule.embedding_backward", "The gradient of an embedding sorts the token numbers and sums them in pieces."
    ),
    source="pytorch aten/src/ATen/native/cuda/Embedding.cu, embedding_dense_backward_cuda; EmbeddingBackwardKernel.cu",
    operations={"aten.embedding_dense_backward": _sorted, "aten._embedding_bag_backward": _bags},
    outputs={"aten._embedding_bag": _kept_of_bags},
)
