"""Tables in CSV files: layouts that people have, lines that cannot be used, labels in words and texts."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmodel_lab.data import Division, from_arrays, load_data
from bigmodel_lab.data._csv import read_csv
from bigmodel_lab.errors import DataError, EmptyDataError, LabelRangeError

KEEP = Division(validation_fraction=0, test_fraction=0)
ROWS = "\n".join(f"{n},{n / 2},{n % 3}" for n in range(30))


@pytest.fixture
def table(tmp_path):
    """Writes a table and reads it."""

    def read(content: str, *, name: str = "own.csv", division: Division = KEEP, **options):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return read_csv(path, division, **options)

    return read


@pytest.mark.parametrize("header", ["", "width,height,label\n", "width,height,Class\n", "a,b,c\n"])
def test_with_a_header_or_without(table, header):
    """The same samples come from a table whatever stands in its first line."""
    train = table(header + ROWS).train
    order = train.x[:, 0].argsort()

    assert train.x[order].tolist() == [[n, n / 2] for n in range(30)]
    assert train.y[order].tolist() == [n % 3 for n in range(30)]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(table, separator):
    """Semicolons and tabs are found out."""
    assert table(ROWS.replace(",", separator)).input_shape == (2,)


@pytest.mark.parametrize("name", ["label", "target", "class", "y", "Y", " Label "])
def test_the_named_column_is_the_label(table, name):
    """A column with one of the usual names is the label wherever it stands."""
    data = table(f"{name},width,height\n" + "\n".join(f"{n % 4},{n},{n}.5" for n in range(20)))

    assert (data.classes, data.input_shape) == (4, (2,))


def test_labels_in_words(table):
    """Words become class numbers in alphabetical order, with their names kept."""
    data = table("".join(f"{n},{word}\n" for n in range(10) for word in ("rose", "lily")))
    at_zero = data.train.y[data.train.x[:, 0] == 0]

    assert data.class_names == ("lily", "rose")
    assert sorted(at_zero.tolist()) == [0, 1]


def test_negative_labels_are_names(table):
    """Labels -1 and 1 become the classes 0 and 1, in the order of their values."""
    data = table("".join(f"{n},{label}\n" for n in range(10) for label in (-1, 1)))

    assert (data.class_names, data.classes) == (("-1", "1"), 2)


def test_quoted_cells_and_lines(table):
    """A cell in quotes may hold separators; lines end as on Windows too, and a byte order mark is no part of a name."""
    data = table("\ufefflabel,size\r\n" + '"a, b","1.5"\r\n"c","2"\r\n' * 5)

    assert data.class_names == ("a, b", "c")


def test_bad_lines_are_named_by_number(table):
    """Missing cells, words among numbers and lines of another length are left out, and named."""
    lines = ["width,height,label", *ROWS.splitlines()]
    lines[3], lines[7], lines[8], lines[9] = "3,,1", "x,1,1", "1,2", "nan,2,0"
    data = table("\n".join(lines))

    assert len(data.train) == 26
    assert len(data.notes) == 1
    assert data.notes[0].startswith("own.csv: 4 of 30 lines are left out")
    assert data.notes[0].endswith("4, 8–10 (line 4: nothing in column 'height').")


def test_line_numbers_count_lines_within_quotes(table):
    """A cell over several lines does not shift the numbers after it."""
    content = 'size,class\n1,"two\nlines"\n2,b\n,b\n' + "3,b\n" * 5

    assert "cannot be used: 5 (line 5:" in table(content).notes[0]


def test_nothing_is_noted_where_all_is_well(table):
    """A clean table has no notes; empty lines at its end are no lines."""
    assert table(ROWS + "\n\n\n").notes == ()


def test_more_than_half_bad_is_an_error(table):
    """A table that is mostly unreadable was misunderstood, so nothing is trained on the rest."""
    with pytest.raises(DataError, match=r"6 of 10 lines.*'width'.*more than half.*commas, semicolons"):
        table("width,height,label\n" + "a,b,1\n" * 6 + "1,2,0\n" * 4)


@pytest.mark.parametrize("content", ["", "\n\n", "width,height,label\n"])
def test_an_empty_table(table, content):
    """Nothing to read, or a header alone, is said."""
    with pytest.raises(EmptyDataError, match=r"is empty|no training samples"):
        table(content)


def test_one_column_is_no_table(table):
    """The first line is shown, so that another separator is seen."""
    with pytest.raises(DataError, match=r"one column: its first line is '1\|2\|0'"):
        table("1|2|0\n3|4|1\n")


def test_a_file_of_other_bytes(tmp_path):
    """What is no text in UTF-8 is named."""
    path = tmp_path / "own.csv"
    path.write_bytes(b"1,2,\xff\n")

    with pytest.raises(DataError, match=r"own\.csv cannot be read as CSV in UTF-8"):
        read_csv(path, KEEP)


def test_a_file_that_does_not_exist(tmp_path):
    """A missing file is named."""
    with pytest.raises(DataError, match=r"no\.csv cannot be read"):
        read_csv(tmp_path / "no.csv", KEEP)


def test_the_companion_holds_the_test_samples(tmp_path, table):
    """Beside train_data.csv, test_data.csv is the test split, with the same names for the same numbers."""
    (tmp_path / "test_data.csv").write_text("size,class\n" + "9,c\n9,a\n" * 3)
    data = table("size,class\n" + "1,a\n2,b\n3,c\n" * 5, name="train_data.csv", division=Division(0.2, 0.5))

    assert {name: len(split) for name, split in data.splits.items()} == {"train": 12, "validation": 3, "test": 6}
    assert data.test.y.tolist() == [2, 0] * 3
    assert "test_data.csv" in data.description


def test_only_the_training_file_takes_its_companion(tmp_path, table):
    """Other files stand alone."""
    (tmp_path / "test_data.csv").write_text("1,0\n")

    assert len(table(ROWS, name="other.csv").test) == 0


def test_a_companion_with_other_columns(tmp_path, table):
    """Both headers stand in the message."""
    (tmp_path / "test_data.csv").write_text("kind,class\n1,a\n")

    with pytest.raises(DataError, match=r"\['kind', 'class'\], the training file \['size', 'class'\]"):
        table("size,class\n1,a\n2,b\n", name="train_data.csv")


def test_a_table_without_companion_is_divided(table):
    """A table alone gives all three splits."""
    data = table(ROWS, division=Division())

    assert [len(split) for split in data.splits.values()] == [24, 3, 3]


def test_numbers_to_predict(table):
    """Told so, the label column is a number to be predicted, as it stands."""
    data = table("x,y\n" + "\n".join(f"{n},{n / 4}" for n in range(12)), task="regression")
    order = data.train.x[:, 0].argsort()

    assert (data.task, data.train.y.dtype, data.train.y.shape) == ("regression", torch.float32, (12, 1))
    assert np.allclose(data.train.y[order].flatten(), np.arange(12) / 4)


def test_numbers_to_predict_that_were_not_told(table):
    """Fractions in the label column are answered with what to say."""
    with pytest.raises(LabelRangeError, match='task="regression"'):
        table("x,y\n1,0.5\n2,1.5\n")


def test_a_word_among_numbers_to_predict_is_a_bad_line(table):
    """In a regression a label must be a number."""
    data = table("x,y\n" + "1,0.5\n" * 9 + "1,high\n", task="regression")

    assert "line 11: 'high' in column 'y' is no number" in data.notes[0]


@pytest.mark.parametrize("header", ["text,label\n", "review,kind\n", ""])
def test_texts_with_labels(table, header):
    """One column of text and one label are documents to classify."""
    lines = ["rain and snow tomorrow,weather", '"a goal, then a pass",football'] * 10
    data = table(header + "\n".join(lines))

    assert data.class_names == ("football", "weather")
    assert (data.train.x.dtype, len(data.train)) == (torch.int64, 20)
    assert "snow" in data.vocabulary


def test_texts_with_a_companion(tmp_path, table):
    """Test documents are read with the words of the training documents."""
    (tmp_path / "test_data.csv").write_text("text,label\nsnow and hail,weather\n")
    lines = ["rain and snow,weather", "goal and pass,football"] * 10
    data = table("text,label\n" + "\n".join(lines), name="train_data.csv", division=Division(0.1))

    assert {name: len(split) for name, split in data.splits.items()} == {"train": 18, "validation": 2, "test": 1}
    assert data.vocabulary[int(data.test.x[0, 0])] == "snow"
    assert int(data.test.x[0, 2]) == 1  # hail is unknown
    assert data.test.y.tolist() == [1]


def test_a_text_without_label_is_named(table):
    """A document that has no label is left out, and named."""
    data = table("text,label\n" + "rain,weather\ngoal,football\n" * 5 + "snow,\n")

    assert "nothing in column 'label'" in data.notes[0]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3, st.integers(0, 3)), min_size=2, max_size=20))
def test_what_was_written_is_read(tmp_path, rows):
    """Any table of numbers comes back to the last bit of float32, each row with its label."""
    path = tmp_path / "own.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "c", "label"), *rows])
    train = read_csv(path, KEEP).train

    found = sorted((*x, y) for x, y in zip(train.x.tolist(), train.y.tolist(), strict=True))
    assert found == sorted(rows)


def test_it_agrees_with_pandas(tmp_path):
    """The same samples come from pandas' own reading of the file."""
    path = tmp_path / "own.csv"
    random = np.random.default_rng(0)
    pd.DataFrame({"a": random.normal(size=50), "class": list("xyzxy") * 10}).to_csv(path, index=False)
    ours, theirs = read_csv(path, KEEP), from_arrays(pd.read_csv(path), division=KEEP)

    assert torch.allclose(ours.train.x, theirs.train.x)
    assert torch.equal(ours.train.y, theirs.train.y)
    assert ours.class_names == theirs.class_names


def test_name_and_description(table):
    """The data is called after its file, and says which column is the label."""
    data = table("size,kind,label\n1,2,0\n2,2,1\n", name="flowers.csv")

    assert data.name == "flowers"
    assert "3 columns, the label is 'label'" in data.description


def test_a_path_to_a_table_is_data(tmp_path):
    """The one door for data opens it, by its suffix."""
    path = tmp_path / "own.CSV"
    path.write_text(ROWS)

    assert load_data(path).name == "own"


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "NaN", "?", "inf", "-inf", "1,5", "1.5.2", "one", "0x10"])
def test_cells_that_are_no_numbers(table, cell):
    """Whatever people write for nothing, numbers without end, and words: the line is left out, and named."""
    data = table("width,height,label\n" + "1,2,0\n2,3,1\n" * 5 + f'"{cell}",4,1\n')

    assert len(data.train) == 10
    assert "lines are left out" in data.notes[0]
    assert "12 (line 12: " in data.notes[0]


@pytest.mark.parametrize("cell", ["1", " 1 ", "+1", "1.0", "1e0", "01", ".1e1"])
def test_cells_that_are_numbers(table, cell):
    """The usual ways to write a number are read, with blanks around it."""
    data = table("width,height,label\n" + f"{cell},4,1\n{cell},5,0\n")

    assert data.train.x[:, 0].tolist() == [1, 1]
    assert data.notes == ()


def test_gaps_among_labels_are_named(table):
    """A line without its label is left out like one without a feature."""
    data = table("label,size\n" + "a,1\nb,2\n" * 5 + ",3\n?,4\n")

    assert data.class_names == ("a", "b")
    assert "2 of 12 lines" in data.notes[0]
    assert "12–13 (line 12: nothing in column 'label')" in data.notes[0]


def test_both_files_name_their_bad_lines(tmp_path, table):
    """Bad lines of the test file are told beside those of the training file."""
    (tmp_path / "test_data.csv").write_text("size,class\n1,a\n,b\n2,b\n")
    data = table("size,class\n" + "1,a\n2,b\n" * 5 + "x,a\n", name="train_data.csv")

    assert [note.split(":")[0] for note in data.notes] == ["train_data.csv", "test_data.csv"]
    assert len(data.test) == 2


def test_tabs_around_texts_with_commas(table):
    """A text with commas is one cell where tabs separate."""
    data = table("text\tlabel\n" + "rain, snow, hail\tweather\ngoal, pass\tfootball\n" * 6)

    assert data.class_names == ("football", "weather")
    assert "," in data.vocabulary


def test_a_table_of_one_feature_is_no_text(table):
    """Two columns of numbers are a feature and a label, whatever some lines hold."""
    data = table("size,label\n" + "1,0\n2,1\n" * 6 + "tall,1\n")

    assert (data.train.x.dtype, data.input_shape) == (torch.float32, (1,))
    assert "'tall' in column 'size' is no number" in data.notes[0]


COMPANION = "text,label\n" + "good film,2\nbad film,1\n" * 10


def test_a_companion_with_a_header_alone(tmp_path, table):
    """A test file that holds no line yet gives an empty test part."""
    (tmp_path / "test_data.csv").write_text("text,label\n")
    data = table(COMPANION, name="train_data.csv")

    assert (len(data.train), len(data.test)) == (20, 0)


def test_numbered_topics_are_named_alike_with_a_companion(tmp_path, table):
    """Topics 1 and 2 are two classes, whether a test file lies beside or not."""
    alone = table(COMPANION, name="train_data.csv").class_names
    (tmp_path / "test_data.csv").write_text("text,label\ngood film,2\n")
    data = table(COMPANION, name="train_data.csv")

    assert data.class_names == alone == ("1", "2")
    assert data.test.y.tolist() == [1]


def test_a_topic_with_a_fraction_is_a_name(tmp_path, table):
    """The topics 0.5 and 0 of texts stay two topics with a companion: nothing is cut off."""
    (tmp_path / "test_data.csv").write_text("text,label\nbad film,0.5\n")
    data = table("text,label\n" + "good film,0\nbad film,0.5\n" * 10, name="train_data.csv")

    assert [data.class_names[label] for label in data.test.y] == ["0.5"]


def test_a_topic_of_the_companion_alone_has_a_class(tmp_path, table):
    """A topic that no training text has is a class all the same, so its texts are judged."""
    (tmp_path / "test_data.csv").write_text("text,label\nstrange film,3\n")

    assert table(COMPANION, name="train_data.csv").class_names == ("1", "2", "3")


def test_texts_of_one_topic_with_a_companion(tmp_path, table):
    """One topic in both files is no classification."""
    (tmp_path / "test_data.csv").write_text("text,label\nbad film,same\n")

    with pytest.raises(DataError, match="All 11 documents of train_data have the label 'same'"):
        table("text,label\n" + "good film,same\n" * 10, name="train_data.csv")


def test_a_number_beyond_float32_is_a_bad_line(table):
    """What would become infinite in memory is left out and named, with the cell."""
    data = table(f"a,b,label\n{ROWS}\n1e39,2,0\n")

    assert len(data.train) == 30
    assert "line 32: '1e39' in column 'a' is no number" in data.notes[0]


def test_a_cell_without_an_end(table):
    """A quotation mark that is never closed makes a cell too long to be one; the file is named."""
    with pytest.raises(DataError, match=r"own\.csv cannot be read as CSV.*field larger"):
        table('text,label\n"' + "x" * 200_000)
