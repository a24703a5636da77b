"""The embedded running text: no test text is training text, windows are shifted by one, the entropy is right."""

from __future__ import annotations

import math
import re

import pytest
import torch

from bigmodel_lab.data import Data, Division, Split, load_data
from bigmodel_lab.data import docs_next_token as module
from bigmodel_lab.data._tokens import Tokenizer
from bigmodel_lab.errors import DataError, EmptyDataError


@pytest.fixture(scope="module")
def data() -> Data:
    """The corpus as it is by default."""
    return load_data("docs_next_token")


def stream(data: Data, part: str) -> str:
    """The words of a part, one after the other."""
    return Tokenizer(data.vocabulary).decode(data.splits[part].x.flatten().tolist())


def test_shape(data):
    """Windows of 64 token numbers; as many classes as words."""
    assert (data.task, data.input_shape, data.scale) == ("next_token", (64,), None)
    assert (data.train.x.dtype, data.train.y.dtype) == (torch.int64, torch.int64)
    assert data.train.x.shape == data.train.y.shape
    assert 1000 < data.classes == len(data.vocabulary) <= 4096


def test_size(data):
    """Small enough for a minute an epoch, large enough to learn from."""
    assert 40_000 <= data.train.x.numel() <= 120_000
    assert len(data.validation) >= 50
    assert len(data.test) >= 50


def test_y_is_x_one_token_further_on(data):
    """Inside a window and from one window to the next."""
    for part in data.splits.values():
        assert torch.equal(part.y[:, :-1], part.x[:, 1:])
        assert torch.equal(part.y[:-1, -1], part.x[1:, 0])


def test_token_numbers_are_in_the_vocabulary(data):
    """No padding, nothing above the vocabulary."""
    whole = torch.cat([part.y.flatten() for part in data.splits.values()])

    assert int(whole.min()) >= 1
    assert int(whole.max()) < data.classes


def test_few_words_are_unknown(data):
    """The vocabulary covers the text of all parts."""
    for part in data.splits.values():
        assert float((part.y == 1).float().mean()) < 0.15


def runs(data: Data, part: str) -> set[tuple[str, ...]]:
    """All runs of 16 known words inside the paragraphs of a part."""
    paragraphs = (piece.split() for piece in stream(data, part).split(module.PARAGRAPH))
    found = {tuple(words[i : i + 16]) for words in paragraphs for i in range(len(words) - 15)}
    return {run for run in found if "<unknown>" not in run}


def test_no_test_text_is_training_text(data):
    """No part has 16 words in a row with another in common."""
    train, validation, test = (runs(data, part) for part in data.splits)

    assert min(map(len, (train, validation, test))) > 1000
    assert train.isdisjoint(validation | test)
    assert validation.isdisjoint(test)


def test_it_is_about_python(data):
    """The text is the language reference, without the lines drawn in it."""
    whole = " ".join(stream(data, part) for part in data.splits)

    assert 'the " import " statement' in whole
    assert "= = = =" not in whole


def test_the_same_every_time(data):
    """Corpus and windows do not depend on when it is read."""
    again = load_data("docs_next_token")

    assert again.sha256 == data.sha256
    assert re.fullmatch("[0-9a-f]{64}", again.sha256)
    assert torch.equal(again.test.x, data.test.x)


def test_seed_divides_anew_and_keeps_the_corpus(data):
    """Another seed tests on other blocks of the same corpus."""
    other = load_data("docs_next_token", seed=3)

    assert other.sha256 == data.sha256
    assert stream(other, "test") != stream(data, "test")


def test_parts_are_shares_of_the_text(data):
    """A tenth is for the test, a tenth of the rest for validation, to within a block or two."""
    sizes = torch.tensor([part.x.numel() for part in data.splits.values()], dtype=torch.float64)

    assert torch.allclose(sizes / sizes.sum(), torch.tensor([0.81, 0.09, 0.10], dtype=torch.float64), atol=0.03)


def test_parts_may_be_empty():
    """Without test text there are no test windows."""
    data = module.load(Division(validation_fraction=0, test_fraction=0))

    assert data.test.x.shape == data.validation.y.shape == (0, 64)


def test_unigram_entropy_of_the_corpus(data):
    """Better than a guess among all words, and about the same in every part."""
    entropies = [module.unigram_entropy(data, part) for part in data.splits]

    assert 4 < min(entropies) <= max(entropies) < math.log(data.classes)
    assert max(entropies) - min(entropies) < 0.5


def test_unigram_entropy_by_hand():
    """Frequencies 1, 3 and 0 with one added: -(ln 2/7 + ln 4/7 + ln 1/7) / 3."""
    data = own([[0, 1, 1, 1]], [[0, 1, 2]], classes=3)

    expected = -(math.log(2 / 7) + math.log(4 / 7) + math.log(1 / 7)) / 3
    assert module.unigram_entropy(data) == pytest.approx(expected, abs=1e-12)


def test_unigram_entropy_of_equal_frequencies():
    """It is that of a guess: ln V."""
    data = own([[0, 1, 2, 3]], [[3, 3, 3]], classes=4)

    assert module.unigram_entropy(data, "test") == pytest.approx(math.log(4))


def test_unigram_entropy_of_an_empty_part():
    """Of nothing there is none."""
    with pytest.raises(EmptyDataError, match="no validation samples"):
        module.unigram_entropy(own([[0, 1]], [[0]], classes=2), "validation")


def own(train: list[list[int]], test: list[list[int]], classes: int) -> Data:
    """Data for next tokens with these targets and no validation part."""
    parts = torch.tensor(train), torch.zeros(0, len(train[0]), dtype=torch.int64), torch.tensor(test)
    return Data("own", "", *(Split(y, y) for y in parts), scale=None, classes=classes, task="next_token")


def test_repeated_paragraphs_are_left_out():
    """A paragraph stays where it comes first, whatever its lines and letters; drawn lines go."""
    documents = [
        "Title\n*****\n\nOne two\nthree.\n\n+---+---+\n| A | B |\n|===|===|",
        "one two three.\n\n\nFive.\n=====",
    ]

    assert list(module._paragraphs(documents)) == ["Title", "One two three.", "| A | B |", "Five."]


def test_partly_repeated_paragraphs_are_left_out():
    """Sixteen words in a row make a repetition, fifteen do not."""
    known = list("abcdefghijklmnopqrst")
    documents = [" ".join(known), " ".join([*known[4:], "more"]), " ".join([*known[5:], "end"])]

    assert list(module._paragraphs(documents)) == [documents[0], documents[2]]


def test_blocks_hold_whole_paragraphs(monkeypatch):
    """Paragraphs are joined until a block is long enough; the last block may be short."""
    monkeypatch.setattr(module, "_BLOCK", 3)

    assert list(module._blocks(["a b", "c d", "e f g h", "i"])) == ["a b ¶ c d", "e f g h", "i"]


def test_what_does_not_fill_a_window_is_not_used():
    """130 tokens are two windows, as the last target needs one more token."""
    split = module._windows(torch.arange(130))

    assert split.x.shape == (2, 64)
    assert split.y[-1, -1] == 128
    assert len(module._windows(torch.arange(128))) == 1


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("x = 1", "no table of help texts")])
def test_missing_help_texts_are_explained(monkeypatch, tmp_path, content, message):
    """A Python without them is told apart, with the path."""
    monkeypatch.setattr(module, "library_folder", lambda: tmp_path)
    if content is not None:
        (tmp_path / "pydoc_data").mkdir()
        (tmp_path / "pydoc_data" / "topics.py").write_text(content)

    with pytest.raises(DataError, match=rf"topics\.py.*{message}"):
        module.load(Division())
