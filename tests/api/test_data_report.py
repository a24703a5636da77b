"""``lab.data_report``: what a person reads before training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.data import Division, from_arrays
from bigmodel_lab.data._text import text_data
from bigmodel_lab.errors import LabelRangeError, UnknownNameError


@pytest.fixture(scope="module")
def digits():
    """The report on the embedded digits."""
    return lab.data_report()


def leaking() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A table of two classes with one training sample among the test samples."""
    x = np.random.default_rng(0).normal(size=(80, 3))
    y = np.arange(80) % 2
    return {
        "train": (x[:50], y[:50]),
        "validation": (x[50:70], y[50:70]),
        "test": (np.r_[x[70:], x[:1]], np.r_[y[70:], 0]),
    }


def test_nothing_means_the_embedded_digits(digits):
    """Without data it is the data that models train on without data."""
    assert digits.facts.name == "digits"


def test_columns_stand_below_each_other(digits):
    """Sizes, ranges and classes are aligned tables, one row a line."""
    lines = repr(digits).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("split"))

    assert lines[at + 1].split() == ["train", "1,455", "0", "0"]
    assert len({len(line) for line in lines[at + 2 : at + 4]}) == 1


def test_all_classes_are_counted(digits):
    """Each digit has its row with its samples in every split."""
    rows = [line.split() for line in repr(digits).splitlines()]
    counted = {row[0]: sum(map(int, row[1:])) for row in rows if len(row) == 4 and row[0].isdigit()}

    assert len(counted) == 10
    assert sum(counted.values()) == 1797


def test_no_warnings_are_said_to_be_none(digits):
    """Silence is not taken for a report that was cut off."""
    assert repr(digits).splitlines()[-2:] == ["Warnings, most severe first:", "  • none"]


def test_a_leak_is_told():
    """The table counts it, the warning names it."""
    report = lab.data_report(leaking())

    assert "test[10] = train[0]" in report.warnings[0]
    assert next(line for line in repr(report).splitlines() if line.startswith("test")).split()[-1] == "1"
    assert f"  • {report.warnings[0]}" in repr(report)


def test_notes_of_reading_stand_at_the_end():
    """Rows that are left out are named."""
    frame = pd.DataFrame({"width": [1.0, np.nan, *range(38)], "label": [0, 1] * 20})
    report = lab.data_report(frame)

    assert "1 of 40 rows are left out" in report.notes[0]
    assert repr(report).endswith(f"Noticed while reading:\n  • {report.notes[0]}")


def test_images_in_colour_name_their_channels():
    """Red, green and blue have a row each."""
    x = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8)
    lines = repr(lab.data_report((x, torch.arange(60) % 2))).splitlines()

    assert [line.split("  ")[0] for line in lines if line.startswith("train, ")] == [
        "train, red",
        "train, green",
        "train, blue",
    ]


def test_numbers_to_predict_have_their_range():
    """A regression shows where its targets lie, and no classes."""
    said = repr(lab.data_report("points_on_line"))

    assert "train, to predict" in said
    assert said.startswith("points_on_line: regression, a sample is (1,) float32\n")


def test_texts_show_their_lengths():
    """Token numbers have lengths and unknown words instead of ranges."""
    documents = ["rain and snow", "a goal and a pass and a goal"] * 20
    data = text_data("own", "Two topics.", documents, ["weather", "football"] * 20, Division(), sha256="ab12")
    lines = repr(lab.data_report(data)).splitlines()

    assert lines[2] == "SHA-256: ab12"
    assert ["train", "3", "3", "8", "0", "%"] in [line.split() for line in lines]
    assert not any("minimum" in line for line in lines)


def test_of_many_classes_the_first_are_shown():
    """Twenty rows and how many more there are."""
    said = repr(lab.data_report((np.arange(300.0)[:, None] / 300, np.arange(300) % 30)))

    assert "… and 10 more" in said


def test_options_reach_the_loading():
    """Shares and seed are those of load_data."""
    assert lab.data_report("digits", test_fraction=0.5).facts.splits[2].samples == 898


def test_loaded_data_is_kept(digits):
    """What was looked at can be trained on."""
    assert lab.data_report(digits.data).data is digits.data


def test_an_unknown_name_suggests_the_nearest():
    """A misspelt name is answered as everywhere."""
    with pytest.raises(UnknownNameError, match="'digits'"):
        lab.data_report("digit")


def test_html_reads_on_light_and_dark(digits):
    """Tables take the page's colours."""
    html = digits._repr_html_()

    assert html.startswith("<h4>digits: classification")
    assert html.count("<table") == 3
    assert "color:inherit" in html
    assert "color:#" not in html


def test_html_escapes_what_people_wrote():
    """A class name with a tag in it is shown, not obeyed."""
    data = from_arrays((np.arange(40.0)[:, None], np.arange(40) % 2), class_names=("<b>", "c"), name="<i>")

    assert "<b>" not in lab.data_report(data)._repr_html_()
    assert "&lt;i&gt;" in lab.data_report(data)._repr_html_()


def test_it_draws_itself(digits):
    """The figure is a PNG in a cell."""
    assert digits.plot()._repr_png_().startswith(b"\x89PNG")


def test_a_report_says_what_the_data_is():
    """Kind, number of classes, shape, type and scale stand in the first line, then what it is, and its digest."""
    head = repr(lab.data_report("drawn_shapes")).splitlines()[:3]

    assert head[0] == "drawn_shapes: classification, 10 classes, a sample is (3, 32, 32) uint8 × 0.003922"
    assert "drawn by a generator" in head[1]
    assert head[2].startswith("SHA-256: ")


def test_two_samples_have_a_report():
    """The smallest data: nothing is judged by, nothing fails."""
    report = lab.data_report("example_342")

    assert [split.samples for split in report.facts.splits] == [2, 0, 0]
    assert any("There are no test samples" in warning for warning in report.warnings)
    assert "test" in repr(report)


def test_gaps_are_counted_in_the_table():
    """Samples with NaN or infinite values have a column of their own."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    x[[5, 6, 7], 0] = np.nan
    report = lab.data_report({"train": (x, np.arange(60) % 2)}, validation_fraction=0)
    row = next(line for line in repr(report).splitlines() if line.startswith("train"))

    assert row.split() == ["train", "60", "0", "3"]
    assert "train samples hold a value that is NaN" in report.warnings[0]


def test_a_table_from_a_file(tmp_path):
    """A path is read as everywhere; classes have their names, bad lines their numbers."""
    path = tmp_path / "flowers.csv"
    path.write_text("width,kind\n" + "1,rose\n2,lily\n" * 30 + ",rose\n")
    said = repr(lab.data_report(path))

    assert said.startswith("flowers: classification, 2 classes, a sample is (1,) float32")
    assert any(line.split()[:1] == ["rose"] for line in said.splitlines())
    assert "flowers.csv: 1 of 61 lines are left out" in said
    assert "line 62: nothing in column 'width'" in said


def test_next_tokens_have_no_table_of_classes():
    """What follows in a text is no class."""
    tokens = torch.arange(400).remainder(9).reshape(40, 10)
    said = repr(lab.data_report(from_arrays((tokens[:, :-1], tokens[:, 1:]), task="next_token")))

    assert said.startswith("own data: next token, a sample is (9,) int64")
    assert "class " not in said


def test_images_that_are_given_back_keep_their_classes():
    """A person sees how many of each digit there are, though nothing learns it."""
    report = lab.data_report("digits_reconstruction")

    assert len(report.facts.class_names) == 10
    assert repr(report).startswith("digits_reconstruction: reconstruction, 10 classes")


def test_numbers_not_told_to_be_a_regression_say_how():
    """The message is the line to write."""
    with pytest.raises(
        LabelRangeError, match=r"data = from_arrays\(\(x, y\), task=\"regression\"\) of bigmodel_lab.data"
    ):
        lab.data_report((np.arange(40.0)[:, None], np.linspace(0, 1, 40)))


def test_that_line_works_in_fit():
    """What the message says is what fit takes: numbers are learned with the mean squared error."""
    x = np.linspace(-1, 1, 64)[:, None]
    run = lab.fit(torch.nn.Linear(1, 1), from_arrays((x, 3 * x[:, 0]), task="regression"), epochs=2)

    assert run.status.value == "finished"
    assert run.last("validation_loss") < 10


def test_a_report_is_not_changed():
    """Its parts cannot be put in another's place."""
    report = lab.data_report("example_342")

    with pytest.raises(AttributeError):
        report.facts = None


def test_html_lists_warnings_as_points():
    """Each warning is an entry of a list."""
    html = lab.data_report(leaking())._repr_html_()

    assert html.count("<li>") == len(lab.data_report(leaking()).warnings)
    assert "test[10] = train[0]" in html


def test_the_dark_figure_is_dark():
    """Light letters on a dark ground, for dark pages."""
    assert sum(lab.data_report("points_on_line").plot(dark=True).get_facecolor()[:3]) < 0.5
