"""The models that read text: padding does not count, the future is not seen, the sizes are the data's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.models import MODELS
from bigmodel_lab.models._tokens import lengths, real
from bigmodel_lab.models.bilstm_text import BiLSTMText
from bigmodel_lab.models.transformer import HEAD_WIDTH, HEADS, Block, SelfAttention, Transformer

TOKENS = torch.tensor([[5, 7, 9, 3, 2, 8], [4, 6, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0]])
CLOSE = {"rtol": 0.0, "atol": 1e-5}


@pytest.fixture
def bilstm() -> BiLSTMText:
    """A small one, ready to compute."""
    torch.manual_seed(0)
    return BiLSTMText(20, 3, embedding=8).eval()


def transformer(task: str = "classification", **options: float) -> Transformer:
    """A shallow one, ready to compute."""
    torch.manual_seed(0)
    sizes = {"layers": 1, "feed_forward": 32, **options}
    return Transformer(20, 20 if task == "next_token" else 3, 6, task, **sizes).eval()  # type: ignore[arg-type]


# ---------------------------------------------------------------- tokens


def test_length_counts_real_tokens():
    """Padding behind the end does not count; an empty text counts as one token."""
    assert lengths(torch.cat([TOKENS, torch.zeros(1, 6, dtype=torch.int64)])).tolist() == [6, 2, 1, 1]


def test_real_marks_as_many_places():
    """As many places are real as the text is long, from the first."""
    assert real(TOKENS).sum(1).tolist() == [6, 2, 1]
    assert real(TOKENS)[:, 0].all()


# ---------------------------------------------------------------- bilstm_text


def packed_reference(model: BiLSTMText, tokens: Tensor) -> Tensor:
    """The same weights in torch's bidirectional LSTM on packed sequences."""
    both = nn.LSTM(model.rightward.input_size, model.rightward.hidden_size, batch_first=True, bidirectional=True)
    weights = model.rightward.state_dict()
    weights |= {f"{name}_reverse": value for name, value in model.leftward.state_dict().items()}
    both.load_state_dict(weights)
    packed = pack_padded_sequence(model.embedding(tokens), lengths(tokens), batch_first=True, enforce_sorted=False)
    _, (last, _) = both(packed)  # (2, B, 128)
    return model.output(torch.cat([last[0], last[1]], 1))


def test_the_two_directions_are_those_of_torchs_packed_lstm(bilstm: BiLSTMText):
    """The scores are those of a bidirectional LSTM that never sees the padding."""
    with torch.no_grad():
        torch.testing.assert_close(bilstm(TOKENS), packed_reference(bilstm, TOKENS), **CLOSE)


def test_more_padding_changes_nothing_for_the_bilstm(bilstm: BiLSTMText):
    """A text has the same scores in a longer row."""
    with torch.no_grad():
        torch.testing.assert_close(bilstm(TOKENS), bilstm(F.pad(TOKENS, (0, 5))), **CLOSE)


def test_both_ends_of_a_text_reach_the_bilstm(bilstm: BiLSTMText):
    """Another first word and another last word each change the scores."""
    first, last = TOKENS[:1].clone(), TOKENS[:1].clone()
    first[0, 0], last[0, -1] = 11, 11

    with torch.no_grad():
        scores = bilstm(TOKENS[:1])
        assert all((bilstm(other) - scores).abs().max() > 1e-4 for other in (first, last))


def test_the_padding_of_the_bilstm_never_learns(bilstm: BiLSTMText):
    """Its embedding is 0 and gets no gradient."""
    F.cross_entropy(bilstm(TOKENS), torch.tensor([0, 1, 2])).backward()

    assert bilstm.embedding.weight[0].count_nonzero() == 0
    assert bilstm.embedding.weight.grad[0].count_nonzero() == 0
    assert bilstm.embedding.weight.grad[5].count_nonzero() > 0


def test_each_direction_of_the_bilstm_has_128_units():
    """As documented; the linear layer sees both."""
    model = BiLSTMText(20, 4)

    assert (model.rightward.hidden_size, model.leftward.hidden_size) == (128, 128)
    assert tuple(model.output.weight.shape) == (4, 256)


def test_words_look_alike_at_first():
    """The embedding starts within ±0.05, as in the framework that the document uses."""
    largest = BiLSTMText(200, 3).embedding.weight.abs().max().item()

    assert 0.045 < largest <= 0.05


def test_the_embedding_can_be_chosen():
    """The document leaves its size open, so it is an option."""
    assert (
        MODELS.get("bilstm_text").create(seed=0, vocabulary=30, classes=2, embedding=16).embedding.embedding_dim == 16
    )


def test_the_bilstm_learns_which_word_was_there(bilstm: BiLSTMText):
    """Thirty steps teach it two texts of different length."""
    optimizer = torch.optim.Adam(bilstm.parameters(), lr=0.01)
    labels = torch.tensor([0, 1, 2])
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(bilstm(TOKENS), labels).backward()
        optimizer.step()

    assert torch.equal(bilstm(TOKENS).argmax(1), labels)


# ---------------------------------------------------------------- transformer


def attention_by_hand(attention: SelfAttention, x: Tensor, mask: Tensor) -> Tensor:
    """softmax(Q·Kᵀ/√64)·V, one text and one head after the other."""
    rows = []
    for text, seen in zip(attention.query_key_value(x), mask, strict=True):
        query, key, value = text.chunk(3, 1)  # each (T, 512)
        heads = []
        for h in range(HEADS):
            part = slice(h * HEAD_WIDTH, (h + 1) * HEAD_WIDTH)
            scores = query[:, part] @ key[:, part].T / HEAD_WIDTH**0.5
            heads.append(torch.softmax(scores.masked_fill(~seen, -torch.inf), 1) @ value[:, part])
        rows.append(torch.cat(heads, 1))
    return attention.output(torch.stack(rows))


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_its_formula_head_by_head(causal: bool):
    """Eight heads of 64, each softmax(Q·Kᵀ/√64)·V over what may be seen."""
    torch.manual_seed(0)
    attention = SelfAttention()
    x = torch.randn(3, 6, HEADS * HEAD_WIDTH)
    keys = real(TOKENS)
    seen = torch.ones(6, 6, dtype=torch.bool).tril().expand(3, 6, 6) if causal else keys[:, None, :].expand(3, 6, 6)

    with torch.no_grad():
        found = attention(x, None if causal else keys)
        torch.testing.assert_close(found, attention_by_hand(attention, x, seen), **CLOSE)


def test_there_are_eight_heads_of_64():
    """As documented."""
    assert (HEADS, HEAD_WIDTH) == (8, 64)


def test_the_norm_comes_last_in_a_block():
    """Residual first, LayerNorm behind it: every token leaves a fresh block with mean 0 and deviation 1."""
    torch.manual_seed(0)
    x = Block(32, 0.0)(torch.randn(2, 5, 512) * 7 + 3, None)

    torch.testing.assert_close(x.mean(2), torch.zeros(2, 5), **CLOSE)
    torch.testing.assert_close(x.std(2, correction=0), torch.ones(2, 5), rtol=0, atol=1e-3)


def test_a_next_token_never_sees_what_follows():
    """Another last token changes the scores of the last place alone."""
    model = transformer("next_token")
    other = TOKENS[:1].clone()
    other[0, -1] = 11

    with torch.no_grad():
        change = (model(TOKENS[:1]) - model(other)).abs().amax(2)[0]
    assert change[:-1].max() == 0
    assert change[-1] > 1e-4


def test_next_token_gives_scores_at_each_place():
    """One score a token of the vocabulary at each place of each text."""
    assert transformer("next_token")(TOKENS).shape == (3, 6, 20)


def test_classification_gives_scores_a_text():
    """One score a class, from the mean over the real tokens."""
    assert transformer()(TOKENS).shape == (3, 3)


def test_more_padding_changes_nothing_for_the_transformer():
    """A text has the same scores in a shorter row: padding is neither looked at nor averaged."""
    model = transformer()

    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS[1:]), model(TOKENS[1:, :2]), **CLOSE)


def test_an_empty_text_has_finite_scores():
    """A row of nothing but padding, as it comes from an empty line, does not become NaN."""
    empty = torch.zeros(2, 6, dtype=torch.int64)

    assert torch.isfinite(transformer()(empty)).all()
    assert torch.isfinite(BiLSTMText(20, 3)(empty)).all()


def test_depth_width_and_dropout_are_options():
    """They are open in the document: layers, the feed-forward width and dropout can be chosen."""
    model = MODELS.get("transformer").create(
        seed=0, vocabulary=20, classes=3, length=6, task="classification", layers=3, feed_forward=48, dropout=0.2
    )

    assert len(model.blocks) == 3
    assert {block.widen.out_features for block in model.blocks} == {48}
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} == {0.2}


def test_dropout_acts_in_training_only():
    """Two passes differ in training and agree in evaluation."""
    model = transformer(dropout=0.5)

    with torch.no_grad():
        assert torch.equal(model(TOKENS), model(TOKENS))
        model.train()
        assert not torch.equal(model(TOKENS), model(TOKENS))


def test_a_new_transformer_expects_every_token_alike():
    """Its first loss lies near that of equal chances, log(20)."""
    model = transformer("next_token")

    loss = F.cross_entropy(model(TOKENS).flatten(0, 1), TOKENS.flatten())
    assert loss.item() == pytest.approx(3.0, abs=0.6)


def test_the_transformer_learns_a_text_by_heart():
    """Forty steps teach it which token follows which."""
    model = transformer("next_token")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = TOKENS[:1, :-1], TOKENS[:1, 1:]
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()

    assert torch.equal(model(x).argmax(2), y)


@pytest.mark.parametrize("task", ["regression", "reconstruction"])
def test_the_transformer_names_the_tasks_that_it_learns(task: str):
    """Another task is refused with those that exist."""
    with pytest.raises(ConfigError, match=f"next_token | classification, not '{task}'"):
        Transformer(20, 3, 6, task)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bilstm_text", "transformer"])
def test_data_without_a_vocabulary_is_refused(name: str):
    """Images have 0 tokens; the message says what to take."""
    with pytest.raises(ConfigError, match=f"{name} reads text.*0 different tokens.*docs_topics"):
        MODELS.get(name).create(seed=0, vocabulary=0, classes=2)


@pytest.mark.parametrize("name", ["bilstm_text", "transformer"])
def test_text_models_compute_on_the_meta_device(name: str):
    """Shapes can be had without memory, and no length is read back from the device."""
    card = MODELS.get(name)
    with torch.device("meta"):
        output = card.build()(card.example(2))

    assert output.is_meta
    assert output.shape == (2, *(card.output_shape or (card.classes,)))


def test_a_zero_between_words_does_not_lengthen_the_text():
    """Padding is only expected behind a text; a zero within it counts as one, so the text seems one word shorter."""
    assert lengths(torch.tensor([[4, 0, 7, 0]])).tolist() == [2]


def test_a_text_that_fills_its_row_is_real_throughout():
    """Without padding every place counts."""
    assert bool(real(torch.tensor([[4, 5, 6]])).all())


def test_shorter_texts_than_the_transformer_was_built_for():
    """A row may be shorter than in training: its places are the first ones."""
    model = Transformer(vocabulary=9, classes=9, length=16, layers=1, feed_forward=8).eval()
    tokens = torch.randint(1, 9, (2, 16))

    torch.testing.assert_close(model(tokens[:, :5]), model(tokens)[:, :5], rtol=1e-4, atol=1e-5)


def test_the_message_for_data_without_text_says_what_to_take():
    """Who trains a text model on images learns its name and a data set that fits."""
    with pytest.raises(ConfigError, match=r"transformer reads text, but the data has 0 different tokens.*docs_topics"):
        Transformer(vocabulary=0)
