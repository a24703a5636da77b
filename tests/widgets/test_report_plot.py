"""The evaluation report as a figure, for every kind of task, on light and on dark."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.training.class_measures import class_measures
from bigmodel_lab.training.learning_curves import LearningCurves
from bigmodel_lab.training.measures import Measures, PictureMeasures, number_measures, token_measures
from bigmodel_lab.training.mistakes import Answer, Mistake
from bigmodel_lab.training.report import SplitReport
from bigmodel_lab.widgets._report_plot import report_figure

NOTHING = np.array([np.nan, np.nan])
CURVES = LearningCurves(np.array([1.0, 0.5]), np.array([0.9, 0.7]), np.array([0.5, 0.8]), np.array([0.6, 0.7]))
LOSSES = LearningCurves(np.array([1.0, 0.5]), np.array([0.9, 0.7]), NOTHING, NOTHING)
NO_CURVES = LearningCurves(*(np.empty(0) for _ in range(4)))


def classes(count: int = 10, samples: int = 60) -> Measures:
    """Samples of so many classes, most of them right."""
    numbers = torch.Generator().manual_seed(1)
    labels = torch.arange(samples) % count
    scores = 3 * torch.nn.functional.one_hot(labels, count) + 2 * torch.rand(samples, count, generator=numbers)
    scores[:5] = scores[:5].flip(1)
    return class_measures(scores.softmax(1), labels, [f"class {n}" for n in range(count)])


def report(measures: Measures | None, mistakes: tuple[Mistake, ...] = ()) -> SplitReport:
    """A report with these measures."""
    return SplitReport("mlp", "digits", "test", 60, 0.5, measures, (), mistakes)


def picture_mistake(index: int) -> Mistake:
    """A picture taken for something else."""
    return Mistake(index, 2.5, Answer("cat", "dog", 0.9), torch.rand(1, 8, 8), "")


def titles(figure: object) -> list[str]:
    """Of all charts of a figure, wherever they stand."""
    return [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]


def test_classes_have_confusion_roc_and_curves():
    """Four charts."""
    assert titles(report_figure(report(classes()), CURVES)) == [
        "Confusion matrix",
        "ROC: each class against the rest",
        "Loss",
        "Accuracy, %",
    ]


def test_the_confusion_matrix_shows_every_count():
    """Each square with samples has its number, in letters that stand out from their square."""
    measures = classes()
    axes = report_figure(report(measures), CURVES).axes[0]

    assert sorted(int(text.get_text()) for text in axes.texts) == sorted(measures.confusion[measures.confusion > 0])
    assert {text.get_fontsize() for text in axes.texts} == {9.0}


def test_squares_do_not_overlap_their_numbers():
    """Of ten classes a square is wider than three digits."""
    figure = report_figure(report(classes()), CURVES)
    figure.canvas.draw()
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    square = axes.get_window_extent(renderer).width / 10

    assert max(text.get_window_extent(renderer).width for text in axes.texts) < square


def test_of_many_classes_the_matrix_has_no_numbers():
    """They would be too small to read; the colours still tell."""
    assert len(report_figure(report(classes(30, 90)), CURVES).axes[0].texts) == 0


def test_of_many_classes_ten_curves_are_drawn():
    """Those that are told worst."""
    axes = report_figure(report(classes(30, 90)), CURVES).axes[1]

    assert len(axes.get_legend().get_texts()) == 10


def test_without_a_curve_there_is_no_roc():
    """Samples of one class only."""
    one = class_measures(torch.tensor([[0.9, 0.1]]), torch.tensor([0]), ("a", "b"))

    assert titles(report_figure(report(one), NO_CURVES)) == ["Confusion matrix"]


def test_the_best_epoch_is_marked():
    """A line at the lowest validation loss."""
    axes = report_figure(report(classes()), CURVES).axes[2]

    assert "lowest validation loss" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_worst_mistakes_are_pictures():
    """One each, with what was said and what is true."""
    figure = report_figure(report(classes(), tuple(map(picture_mistake, range(7)))), CURVES)
    drawn = [axes for axes in figure.axes if axes.images and "loss" in axes.get_title()]

    assert len(drawn) == 7
    assert drawn[3].get_title() == "dog (90 %), is cat\n#3  loss 2.50"


def test_mistakes_in_text_are_written():
    """Words instead of pictures, as a table."""
    mistake = Mistake(4, 2.5, Answer("sport", "politics", 0.9), torch.zeros(5, dtype=torch.int64), "the match ended")
    figure = report_figure(report(classes(), (mistake,)), CURVES)
    written = [text.get_text() for part in figure.subfigs for text in part.texts]

    assert any("the match ended" in text for text in written)


def test_tokens_are_bars():
    """One a token, the most frequent at the top."""
    measures = token_measures(torch.tensor([[2, 2, 3]]), torch.tensor([[2, 2, 2]]), ("", "?", "a", "b"), 1.0)
    axes = report_figure(report(measures), CURVES).axes[0]

    assert [label.get_text() for label in axes.get_yticklabels()] == ["'a'"]


def test_numbers_are_points():
    """Predicted against true, and the line on which they should lie; no chart of an accuracy that is not there."""
    figure = report_figure(report(number_measures(torch.rand(20, 1), torch.rand(20, 1))), LOSSES)

    assert titles(figure) == ["Predicted against true", "Loss"]
    assert len(figure.axes[0].collections[0].get_offsets()) == 20


def test_what_was_given_back_stands_below_its_input():
    """Six pairs, each twice as high as wide."""
    pairs = tuple((torch.rand(1, 8, 8), torch.rand(1, 8, 8)) for _ in range(6))
    figure = report_figure(report(PictureMeasures(0.1, pairs)), LOSSES)
    shapes = [axes.images[0].get_array().shape for axes in figure.axes if axes.images]

    assert shapes == [(16, 8)] * 6


def test_a_report_by_loss_alone_has_its_curves():
    """Nothing else to draw, no error."""
    assert titles(report_figure(report(None), LOSSES)) == ["Loss"]


def test_without_anything_to_draw_there_is_a_title():
    """An empty figure says what it is about."""
    figure = report_figure(report(None), NO_CURVES)

    assert figure.axes == []
    assert "mlp" in figure._suptitle.get_text()


def test_on_dark_the_letters_are_light():
    """And matplotlib's own settings are as they were."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figure = report_figure(report(classes()), CURVES, dark=True)

    assert sum(figure.get_facecolor()[:3]) < 0.3
    assert figure.axes[0].xaxis.label.get_color() == "#e6edf3"
    assert dict(mpl.rcParams) == before


def test_it_draws_without_pyplot():
    """A figure that nobody has to close."""
    before = "matplotlib.pyplot" in sys.modules
    report_figure(report(classes()), CURVES)._repr_png_()

    assert ("matplotlib.pyplot" in sys.modules) == before


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """The message says what to install."""
    monkeypatch.setattr("bigmodel_lab.widgets._figure.find_spec", lambda _: None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        report_figure(report(classes()), CURVES)


def test_long_names_are_cut_and_turned():
    """So that they do not lie over each other."""
    names = ["text and data formats", "mail and network"]
    measures = class_measures(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1]), names)
    (first, second) = report_figure(report(measures), NO_CURVES).axes[0].get_xticklabels()

    assert first.get_text() == "text and data…"
    assert second.get_rotation() == 45


def test_numbers_as_names_stand_upright():
    """Digits need no turning."""
    measures = class_measures(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1]), ["0", "1"])

    assert report_figure(report(measures), NO_CURVES).axes[0].get_xticklabels()[0].get_rotation() == 0


def test_accuracy_is_drawn_in_percent():
    """As everywhere else."""
    axes = report_figure(report(classes()), CURVES).axes[3]

    assert axes.lines[0].get_ydata().tolist() == [50, 80]


def test_one_epoch_is_a_point():
    """The axis is marked at the epoch, not at fractions of it."""
    one = LearningCurves(np.array([1.0]), np.array([0.9]), np.array([0.5]), np.array([0.6]))
    axes = report_figure(report(classes()), one).axes[2]

    assert [mark for mark in axes.get_xticks() if 0.5 <= mark <= 1.5] == [1.0]


def test_a_run_without_validation_has_no_best_epoch():
    """One line, no mark."""
    curves = LearningCurves(np.array([1.0, 0.5]), NOTHING, np.array([0.5, 0.8]), NOTHING)
    axes = report_figure(report(classes()), curves).axes[2]

    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]


def test_what_was_given_back_of_a_mistake_stands_below_it():
    """Both in one picture, with its place and its loss."""
    mistake = Mistake(4, 0.25, Answer("", "", picture=torch.rand(1, 8, 8)), torch.rand(1, 8, 8), "")
    (axes,) = [axes for axes in report_figure(report(None, (mistake,)), NO_CURVES).axes if axes.images]

    assert axes.images[0].get_array().shape == (16, 8)
    assert axes.get_title() == "#4  loss 0.25"


def test_long_lines_of_text_end_in_the_figure():
    """A line that is wider than the figure loses its end."""
    mistake = Mistake(4, 2.5, Answer("sport", "politics", 0.9), torch.zeros(5, dtype=torch.int64), "word " * 60)
    figure = report_figure(report(None, (mistake,)), NO_CURVES)
    (written,) = [text.get_text() for part in figure.subfigs for text in part.texts]

    assert max(map(len, written.splitlines())) == 122
    assert written.endswith("…")


def test_colours_of_a_picture_stay():
    """Three channels are drawn as they are."""
    mistake = Mistake(1, 2.5, Answer("cat", "dog", 0.9), torch.rand(3, 8, 8), "")
    (axes,) = [axes for axes in report_figure(report(None, (mistake,)), NO_CURVES).axes if axes.images]

    assert axes.images[0].get_array().shape == (8, 8, 3)


def test_ten_lines_have_ten_colours():
    """No two classes of the ROC chart look the same."""
    axes = report_figure(report(classes()), CURVES).axes[1]
    colours = {line.get_color() for line in axes.lines if line.get_linestyle() == "-"}

    assert len(colours) == 10


def test_the_figure_is_as_wide_as_a_notebook():
    """Whatever it holds: letters keep their size."""
    widths = {report_figure(report(measures), LOSSES).get_figwidth() for measures in (classes(), None)}

    assert widths == {8.8}
