"""Words as numbers and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.data._tokens import PADDING, UNKNOWN, Tokenizer, words

DOCUMENTS = ["The cat sat on the mat.", "The dog sat.", "A bird sat on the cat."]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("don't stop", ["don't", "stop"]),
        ("'quoted' word", ["'", "quoted", "'", "word"]),
        ("read_file(2)", ["read", "_", "file", "(", "2", ")"]),
        ("3.14 = pi", ["3", ".", "14", "=", "pi"]),
        ("Größe naïve Ωmega", ["größe", "naïve", "ωmega"]),
        ("深度学习 GPU", ["深", "度", "学", "习", "gpu"]),
        ("カメラ", ["カ", "メ", "ラ"]),
        ("tabs\tand\nlines", ["tabs", "and", "lines"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_words_of_a_document(document, expected):
    """Letters, digits and everything else are cut apart; ideographs stand alone."""
    assert words(document) == expected


@given(st.text())
def test_nothing_but_space_is_lost(document):
    """All signs of a document in lower case are there, in order."""
    assert "".join(words(document)) == "".join(document.lower().split())


@given(st.text())
def test_words_are_cut_only_once(document):
    """Words with spaces between them are cut into the same words again."""
    found = words(document)

    assert words(" ".join(found)) == found


@given(st.lists(st.text(alphabet="ab c.1_'中"), min_size=1), st.integers(1, 30))
def test_round_trip_of_known_words(documents, length):
    """What is encoded with known words is decoded to the words that fit the length."""
    tokenizer = Tokenizer.of(documents * 2, size=10_000)

    for document in documents:
        assert tokenizer.decode(tokenizer.encode(document, length)).split() == words(document)[:length]


def test_vocabulary_is_in_order_of_frequency():
    """The most frequent words come first, equally frequent ones by the alphabet."""
    assert Tokenizer.of(DOCUMENTS, size=100).vocabulary == ("<padding>", "<unknown>", "the", ".", "sat", "cat", "on")


def test_vocabulary_does_not_depend_on_the_order_of_documents():
    """The same documents give the same numbers."""
    assert Tokenizer.of(DOCUMENTS[::-1], size=100) == Tokenizer.of(DOCUMENTS, size=100)


def test_words_that_occur_once_are_unknown():
    """They train what unknown words are like."""
    tokenizer = Tokenizer.of(DOCUMENTS, size=100)

    assert tokenizer.numbers("the bird") == [2, UNKNOWN]


@pytest.mark.parametrize(("size", "expected"), [(4, 4), (2, 2), (1, 2), (0, 2)])
def test_size_counts_padding_and_unknown(size, expected):
    """The vocabulary is no larger than asked for, and always holds the two special numbers."""
    assert len(Tokenizer.of(DOCUMENTS, size).vocabulary) == expected


def test_short_document_is_padded_at_its_end():
    """The row is as long as asked for."""
    assert Tokenizer.of(DOCUMENTS, 100).encode("the cat", 4) == [2, 5, PADDING, PADDING]


def test_long_document_is_cut():
    """What does not fit is left out."""
    assert Tokenizer.of(DOCUMENTS, 100).encode("the cat sat on", 2) == [2, 5]


def test_rows_of_many_documents():
    """All rows have the same length and type."""
    tokenizer = Tokenizer.of(DOCUMENTS, 100)
    rows = tokenizer.encode_all(DOCUMENTS, 5)

    assert (rows.shape, rows.dtype) == ((3, 5), torch.int64)
    assert rows.tolist() == [tokenizer.encode(document, 5) for document in DOCUMENTS]


def test_no_documents_give_no_rows():
    """An empty part has its row length nevertheless."""
    assert Tokenizer.of(DOCUMENTS, 100).encode_all([], 5).shape == (0, 5)


def test_unknown_words_are_shown_as_such():
    """Decoding shows where a word was not known, and leaves the padding out."""
    assert Tokenizer.of(DOCUMENTS, 100).decode([2, UNKNOWN, 5, PADDING]) == "the <unknown> cat"
