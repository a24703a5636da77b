"""One's own text file: one document a line, and every line that cannot be used is named."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from bigmodel_lab.data import Division, load_data
from bigmodel_lab.data._text import digest, text_data
from bigmodel_lab.data._tokens import Tokenizer
from bigmodel_lab.errors import DataError, EmptyDataError

WEATHER, FOOTBALL = "weather\train and snow fall", "football\tgoal and pass win"
GOOD = [WEATHER, FOOTBALL] * 10
KEEP_ALL = {"validation_fraction": 0, "test_fraction": 0}


@pytest.fixture
def write(tmp_path):
    """Writes lines, text or bytes, into a file and gives its path."""

    def lines(*content: str | bytes):
        path = tmp_path / "data.txt"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in content) + b"\n")
        return path

    return lines


def shown(data, row: int = 0) -> tuple[str, str]:
    """Label and text of a training sample."""
    return data.class_names[int(data.train.y[row])], Tokenizer(data.vocabulary).decode(data.train.x[row].tolist())


def test_tab_separated_lines(write):
    """Label, tab, text: classes by the alphabet, tokens of the training words, no notes."""
    data = load_data(str(write(*GOOD)))

    assert (data.name, data.task, data.class_names, data.notes) == (
        "data",
        "classification",
        ("football", "weather"),
        (),
    )
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 16, "validation": 2, "test": 2}
    assert (data.train.x.dtype, data.train.y.dtype, data.scale) == (torch.int64, torch.int64, None)
    assert data.sizes["vocabulary"] == len(data.vocabulary) == 2 + 7


def test_every_document_keeps_its_label(write):
    """Label and text of a line stay together."""
    data = load_data(write(*GOOD), **KEEP_ALL)

    assert {shown(data, row) for row in range(20)} == {
        ("weather", "rain and snow fall"),
        ("football", "goal and pass win"),
    }


def test_label_as_first_word(write):
    """Without tabs the first word is the label."""
    data = load_data(write(*(line.replace("\t", "  ") for line in GOOD)))

    assert data.class_names == ("football", "weather")
    assert shown(data) in {("weather", "rain and snow fall"), ("football", "goal and pass win")}


def test_label_of_several_words(write):
    """Before a tab a label may have spaces; further tabs belong to the text."""
    data = load_data(write(*["bad weather\train\tand snow", "good weather\tsun and sun"] * 10))

    assert data.class_names == ("bad weather", "good weather")


def test_numbered_labels_are_in_order_of_their_value(write):
    """Class 10 comes after class 9."""
    data = load_data(write(*[f"{n}\tnumber {n}" for n in range(11)] * 4))

    assert data.class_names == tuple(map(str, range(11)))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("no label here", "without a label"),
        ("\tno label here", "without a label"),
        ("weather\t ", "without a text"),
        ("weather\t", "without a text"),
        ("", "empty"),
        (" \t ", "empty"),
        (b"weather\tk\xe4lte", "not in UTF-8"),
        ("weather\tcold".encode("utf-16-le"), "not in UTF-8"),
    ],
)
def test_line_that_cannot_be_used_is_named(write, line, fault):
    """Its number and what is wrong with it stand in the notes; all others are read."""
    data = load_data(write(WEATHER, line, *GOOD), **KEEP_ALL)

    assert data.notes == (f"data.txt: 1 of 22 lines is not used, {fault}: 2.",)
    assert len(data.train) == 21


def test_label_alone_has_no_text(write):
    """Without tabs a line of one word has no text."""
    data = load_data(write("weather", *(line.replace("\t", " ") for line in GOOD)))

    assert data.notes == ("data.txt: 1 of 21 lines is not used, without a text: 1.",)


def test_many_bad_lines_are_counted_and_all_named(write):
    """Each fault has its own note; neighbouring numbers are drawn together."""
    data = load_data(write("", "", "", *GOOD, "weather\t", ""))

    assert data.notes == (
        "data.txt: 4 of 25 lines are not used, empty: 1–3, 25.",
        "data.txt: 1 of 25 lines is not used, without a text: 24.",
    )


def test_more_than_half_bad_is_refused(write):
    """A file that was misunderstood is not trained on: its first lines and the right format are named."""
    with pytest.raises(DataError, match=r"without a text: 1–21\. That is more than half\. A line must hold a label"):
        load_data(write(*["weather\t"] * 21, *GOOD))


def test_half_bad_is_read(write):
    """Exactly half is still read, with its note."""
    assert len(load_data(write(*["weather\t"] * 20, *GOOD), **KEEP_ALL).train) == 20


def test_chinese_in_another_encoding_is_refused(write):
    """A file in GBK says that UTF-8 is needed."""
    with pytest.raises(DataError, match="not in UTF-8: 1–20"):
        load_data(write(*["天气\t下雨了".encode("gbk"), "足球\t进球了".encode("gbk")] * 10))


def test_chinese_in_utf8(write):
    """Chinese is cut into single characters."""
    data = load_data(write(*["天气\t下雨了", "足球\t进球了"] * 10))

    assert set(data.class_names) == {"天气", "足球"}
    assert "雨" in data.vocabulary


def test_mark_at_the_start_of_the_file(write):
    """The byte order mark of some editors is no part of the first label."""
    assert load_data(write(b"\xef\xbb\xbf" + WEATHER.encode(), *GOOD)).class_names == ("football", "weather")


def test_lines_of_windows(tmp_path):
    """Lines may end as on Windows."""
    path = tmp_path / "data.txt"
    path.write_bytes("\r\n".join(GOOD).encode())

    assert shown(load_data(path)) in {("weather", "rain and snow fall"), ("football", "goal and pass win")}


def test_label_that_stands_once_is_noted(write):
    """A label on one line only may be the first word of a text without label."""
    (note,) = load_data(write(*(line.replace("\t", " ") for line in GOOD), "the sun shines"), **KEEP_ALL).notes

    assert note == "data.txt: labels that stand on one line only: 'the' (line 21). Is the label missing there?"


def test_many_lone_labels_are_counted(write):
    """The note lists twenty and counts the rest."""
    (note,) = load_data(write(*GOOD, *[f"label{n}\ttext {n}" for n in range(25)])).notes

    assert note.count("(line ") == 20
    assert "and 5 more" in note


def test_one_label_is_refused(write):
    """A classification needs two classes."""
    with pytest.raises(DataError, match="All 20 documents of data have the label 'weather'"):
        load_data(write(*[WEATHER] * 20))


def test_empty_file(tmp_path):
    """An empty file is answered with the format."""
    (tmp_path / "data.txt").touch()

    with pytest.raises(EmptyDataError, match=r"data\.txt is empty. It must hold one document a line"):
        load_data(tmp_path / "data.txt")


def test_file_that_does_not_exist(tmp_path):
    """A path that leads nowhere is named."""
    with pytest.raises(DataError, match=r"data\.txt does not exist"):
        load_data(tmp_path / "data.txt")


def test_file_that_vanishes(tmp_path, monkeypatch):
    """A file that cannot be read is named with the cause."""
    (tmp_path / "data.txt").touch()

    def refuse(path):
        raise PermissionError("not yours")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)

    with pytest.raises(DataError, match=r"data\.txt cannot be read: not yours"):
        load_data(tmp_path / "data.txt")


def test_file_of_another_kind(tmp_path):
    """A suffix that is not known is answered with those that are."""
    (tmp_path / "data.docx").touch()

    with pytest.raises(DataError, match=r"\.txt, \.csv or \.npz"):
        load_data(tmp_path / "data.docx")


def test_csv_goes_to_its_reader(tmp_path, monkeypatch):
    """The suffix chooses the reader, in small or large letters."""
    path = tmp_path / "train.CSV"
    path.touch()
    table = types.ModuleType("_csv")
    table.read_csv = lambda *_: load_data("digits")
    monkeypatch.setitem(sys.modules, "bigmodel_lab.data._csv", table)

    assert load_data(path).name == "digits"


def test_no_vocabulary_from_test_documents():
    """Words of validation and test documents alone are unknown."""
    texts = [f"shared {'one' if n % 2 else 'two'} only{n} only{n}" for n in range(40)]
    data = text_data("own", "", texts, ["odd" if n % 2 else "even" for n in range(40)], Division())
    trained = {word for row in data.train.x.tolist() for word in Tokenizer(data.vocabulary).decode(row).split()}

    assert set(data.vocabulary) - {"<padding>", "<unknown>"} <= trained


@pytest.mark.parametrize(("words_each", "length"), [(3, 8), (40, 40), (1000, 256)])
def test_length_of_rows_follows_the_documents(words_each, length):
    """Rows hold the training documents whole, within bounds."""
    data = text_data("own", "", ["word " * words_each] * 20, ["a", "b"] * 10, Division())

    assert data.input_shape == (length,)


def test_length_may_be_given():
    """A length that is asked for is kept."""
    assert text_data("own", "", ["word " * 9] * 20, ["a", "b"] * 10, Division(), length=4).input_shape == (4,)


def test_no_documents():
    """Nothing cannot be divided."""
    with pytest.raises(EmptyDataError, match="own holds no document"):
        text_data("own", "", [], [], Division())


def test_digest_depends_on_every_line():
    """Another order, another text, another number."""
    assert len({digest(lines) for lines in (["a", "b"], ["b", "a"], ["a"], ["a", "c"])}) == 4
