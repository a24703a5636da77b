"""What the gradient of an embedding needs beside itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.memory.requests import RequestTrace
from tests.trace.reading import made_by, trained

WORDS, WIDTH = 1000, 16


def traced(tokens: int, words: int = WORDS, **options: bool) -> RequestTrace:
    """Two steps of an embedding over so many token numbers."""
    return trained(nn.Embedding(words, WIDTH, **options), torch.zeros(tokens, dtype=torch.int64))  # type: ignore[arg-type]


def extras(trace: RequestTrace) -> list[int]:
    """Bytes of the first step's borrowed memory."""
    found = [a.bytes for a in trace.allocations if a.maker.startswith("embedding:")]
    return found[: len(found) // 2]


def test_few_tokens_need_nothing() -> None:
    """Up to 3,072 a kernel without sorting is taken."""
    assert extras(traced(3072)) == []


@pytest.mark.parametrize(("tokens", "words"), [(3073, 1000), (4000, 100_000)])
def test_many_tokens_are_sorted_and_summed_in_pieces(tokens: int, words: int) -> None:
    """Segments: at most as many as tokens, and as words. Pieces: one for each ten tokens more. A row of fp32 for each piece."""
    segments = min(tokens, words)
    pieces = tokens // 10 + segments

    assert extras(traced(tokens, words)) == [8 * (3 * tokens + 2 * segments + pieces), pieces * WIDTH * 4]


def test_scaling_by_frequency_always_sorts() -> None:
    """However few tokens there are."""
    assert extras(traced(8, scale_grad_by_freq=True)) != []


def test_both_are_borrowed_at_the_same_time() -> None:
    """The peak has their sum."""
    trace = traced(4000)
    numbers = [i for i, a in enumerate(trace.allocations) if a.maker.startswith("embedding:")][:2]
    start = trace.sequence.index(numbers[0])

    next_ask = next(i for i, entry in enumerate(trace.sequence) if i > start + 1 and entry >= 0)

    assert trace.sequence[start + 1] == numbers[1]
    assert {~numbers[0], ~numbers[1]} < set(trace.sequence[start + 2 : next_ask])


def test_the_gradient_is_dense() -> None:
    """As large as the table, however few words came up."""
    assert made_by(traced(8), "aten.embedding_dense_backward")[0].bytes == WORDS * WIDTH * 4
