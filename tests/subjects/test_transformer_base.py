"""The Transformer of 2017, base model."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from bigmodel_lab.subjects.transformer_base import Attention, TransformerBase, batch, loss, positions
from tests.subjects.shapes import on_meta, outputs, weights


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """One layer each, fifty tokens, no dropout."""
    torch.manual_seed(0)
    return TransformerBase(vocabulary=50, layers=1, dropout=0.0)


def tokens(*shape: int) -> torch.Tensor:
    """Drawn out of fifty."""
    return torch.randint(50, shape)


def test_it_is_as_large_as_the_paper_says():
    """65 million, rounded and with a vocabulary of about 37,000."""
    assert weights(on_meta(TransformerBase)) / 65e6 == pytest.approx(1, abs=0.03)


def test_one_matrix_serves_as_embedding_and_output():
    """Another token costs 512 weights once."""
    sizes = [weights(on_meta(lambda size=size: TransformerBase(vocabulary=size))) for size in (1000, 1001)]

    assert sizes[1] - sizes[0] == 512


def test_attention_is_the_printed_formula():
    """softmax(Q·Kᵀ/√64)·V in eight heads of 64."""
    attention, x, memory = Attention(), torch.randn(2, 3, 512), torch.randn(2, 5, 512)
    heads = []
    for head in range(8):
        own = slice(64 * head, 64 * head + 64)
        query, key, value = (
            attention.query(x)[..., own],
            attention.key(memory)[..., own],
            attention.value(memory)[..., own],
        )
        heads.append((query @ key.transpose(1, 2) / math.sqrt(64)).softmax(2) @ value)

    torch.testing.assert_close(attention(x, memory), attention.output(torch.cat(heads, 2)), atol=1e-5, rtol=1e-4)


def test_what_is_written_later_changes_nothing_before(small: nn.Module):
    """The decoder sees only up to its own place."""
    source, target = tokens(1, 4), tokens(1, 6)
    later = target.clone()
    later[0, 4] = (later[0, 4] + 1) % 50
    before, after = small(source, target)[0], small(source, later)[0]

    torch.testing.assert_close(before[:4], after[:4])
    assert not torch.equal(before[4], after[4])


def test_every_source_token_is_read_at_every_place(small: nn.Module):
    """The encoder looks both ways."""
    source, target = tokens(1, 4), tokens(1, 3)
    other = source.clone()
    other[0, 3] = (other[0, 3] + 1) % 50

    assert (small(source, target) != small(other, target)).any(2).all()


def test_order_matters(small: nn.Module):
    """The same words the other way round are another sentence."""
    source = torch.arange(4).unsqueeze(0)
    target = tokens(1, 3)

    assert not torch.allclose(small(source, target), small(source.flip(1), target), atol=1e-4)


def test_positions_are_sines_and_cosines_of_growing_wavelengths():
    """PE(p, 2i) = sin(p / 10000^(2i/512)), PE(p, 2i+1) the cosine (section 3.5)."""
    found = positions(20, torch.zeros(1, dtype=torch.float64))

    for place, pair in ((0, 0), (7, 3), (19, 255)):
        angle = place / 10_000 ** (2 * pair / 512)
        assert found[place, 2 * pair : 2 * pair + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)])


def test_the_next_token_is_what_is_learned():
    """The last token of the target is never an input, the first never a label."""
    asked = []

    class Spy(nn.Module):
        def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
            asked.append(target)
            return torch.nn.functional.one_hot(given["target"][:, 1:], 50) * 1000.0

    given = {"source": tokens(2, 4), "target": tokens(2, 7)}
    perfect = float(loss(Spy(), given))

    assert torch.equal(asked[0], given["target"][:, :-1])
    assert perfect == pytest.approx(0.1 * 1000 * 49 / 50, rel=1e-4)  # what smoothing takes for being too sure


def test_lengths_may_differ():
    """A translation is seldom as long as its source."""
    with torch.device("meta"):
        given = batch(2, source_length=5, target_length=9)
        scores = TransformerBase()(given["source"], given["target"][:, :-1])

    assert scores.shape == (2, 9, 37_000)


def test_it_learns_a_sentence(small: nn.Module):
    """A few steps of Adam on one pair lower the loss: both halves work together with numbers."""
    model = copy.deepcopy(small)
    given = {"source": tokens(2, 5), "target": tokens(2, 6)}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        step = loss(model, given)
        step.backward()
        optimizer.step()
        losses.append(step.detach())

    assert losses[-1] < losses[0] - 0.5


def test_embedded_tokens_are_as_wide_as_their_positions(small: nn.Module):
    """The shared matrix is drawn small for the output, and scaled by √512 for the input."""
    scaled = small.embedding(torch.arange(50)).detach() * math.sqrt(512)

    assert float(scaled.std()) == pytest.approx(1, rel=0.05)
    assert float(positions(50, scaled).square().mean()) == pytest.approx(0.5)  # sin² + cos² = 1


def test_the_largest_tensor_is_the_scores():
    """37,000 numbers a target token: with a long target they outweigh all else."""
    with torch.device("meta"):
        given = batch(1, source_length=8, target_length=512)
        model = TransformerBase()
    sizes = outputs(model, given["source"], given["target"][:, :-1], of=nn.Linear)

    assert max(math.prod(shape) for shape in sizes) * 9 < 512 * 37_000
