"""The evaluation report as a picture: what is confused with what, ROC curves, learning curves, the worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bigmodel_lab.i18n import text
from bigmodel_lab.training.class_measures import ClassMeasures
from bigmodel_lab.training.learning_curves import LearningCurves
from bigmodel_lab.training.measures import Measures, NumberMeasures, PictureMeasures, TokenMeasures
from bigmodel_lab.training.mistakes import Mistake, as_picture, mistakes_table
from bigmodel_lab.training.report import SplitReport
from bigmodel_lab.units import format_value
from bigmodel_lab.widgets._figure import LINES, colours, new_figure, plain, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Drawing: TypeAlias = Callable[["Axes"], None]
Section: TypeAlias = tuple[float, Callable[["SubFigure"], None]]
"""Inches that a part of the figure is high, and what draws it."""
_PANEL_INCHES = (4.4, 4.0)
_PANELS_IN_A_ROW = 2  # as wide as a notebook
_PICTURES_IN_A_ROW = 6
_PICTURE_INCHES = 1.35
_CAPTION_INCHES = 0.35
_LINE_INCHES = 0.17  # of monospaced text
_COUNTED_CLASSES = 20  # more squares are too small for a number
_TITLED_LETTERS = 14
_LINE_LETTERS = 122  # monospaced, in the width of the figure


def report_figure(report: SplitReport, curves: LearningCurves, *, dark: bool = False) -> Figure:
    """Everything of a report that can be drawn.

    Args:
        report: What was measured.
        curves: How the training went.
        dark: Light letters on a dark ground.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    sections = [_charts([*_measured(report.measures), *_curves(curves)])]
    sections += [_examples(report.measures), _mistakes(report.mistakes)]
    filled = [section for section in sections if section is not None]
    with colours(dark=dark):
        figure = new_figure((_PANEL_INCHES[0] * _PANELS_IN_A_ROW, sum(inches for inches, _ in filled) + 0.4))
        title = text(
            "report.figure", "{model} on {data}, {split}", model=report.model, data=report.data, split=report.split
        )
        figure.suptitle(title, fontsize=12, fontweight="bold")
        for place, (_, draw) in enumerate(filled):
            grid = figure.add_gridspec(len(filled), 1, height_ratios=[inches for inches, _ in filled])
            draw(figure.add_subfigure(grid[place]))
    return figure


def _charts(drawings: Sequence[Drawing]) -> Section | None:
    """Charts side by side; None where there are none."""
    lines = -(-len(drawings) // _PANELS_IN_A_ROW)

    def draw(part: SubFigure) -> None:
        for place, drawing in enumerate(drawings):
            drawing(part.add_subplot(lines, _PANELS_IN_A_ROW, place + 1))

    return (_PANEL_INCHES[1] * lines, draw) if drawings else None


def _measured(measures: Measures | None) -> list[Drawing]:
    """The charts of one kind of task."""
    if isinstance(measures, ClassMeasures):
        return [
            lambda axes: _confusion(axes, measures),
            *([lambda axes: _roc(axes, measures)] if measures.roc else []),
        ]
    if isinstance(measures, TokenMeasures):
        return [lambda axes: _tokens(axes, measures)]
    if isinstance(measures, NumberMeasures):
        return [lambda axes: _numbers(axes, measures)]
    return []


def _confusion(axes: Axes, measures: ClassMeasures) -> None:
    """Counts on squares whose colour is the share of the true class."""
    from matplotlib.colors import LinearSegmentedColormap

    counts = measures.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ground = LinearSegmentedColormap.from_list("share", [axes.get_facecolor(), LINES[0]])
    axes.imshow(shares, cmap=ground, vmin=0, vmax=1, aspect="equal")
    axes.set_title(text("report.confusion", "Confusion matrix"), fontsize=10, loc="left")
    axes.set_xlabel(text("report.predicted", "predicted class"), fontsize=9)
    axes.set_ylabel(text("report.true", "true class"), fontsize=9)
    _name_classes(axes, [score.name for score in measures.classes])
    if len(counts) <= _COUNTED_CLASSES:
        _count(axes, counts, shares)


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    shown = range(0, len(names), -(-len(names) // _COUNTED_CLASSES))
    labels = [short(names[n], _TITLED_LETTERS) for n in shown]
    turned: dict[str, Any] = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels)) > 2 else {}
    )
    axes.set_xticks(list(shown), labels=labels, **turned)
    axes.set_yticks(list(shown), labels=labels)
    axes.tick_params(labelsize=8, length=0)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(visible=True, which="minor", alpha=0.25, linewidth=0.5)
    axes.tick_params(which="minor", length=0)


def _count(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """The number of samples on each square that has some."""
    size = 9 if len(counts) <= 10 else 6
    for row, column in np.argwhere(counts):
        on_blue: dict[str, Any] = {"color": "white"} if shares[row, column] > 0.5 else {}
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=size, **on_blue)


def _roc(axes: Axes, measures: ClassMeasures) -> None:
    """One class against the rest; of many classes those that are told worst."""
    plain(axes, text("report.roc", "ROC: each class against the rest"))
    worst = sorted(measures.roc, key=lambda n: measures.classes[n].auc or 0.0)[: len(LINES)]
    axes.plot((0, 1), (0, 1), linestyle=":", linewidth=1, color="gray")
    for color, number in zip(LINES, sorted(worst), strict=False):
        score, curve = measures.classes[number], measures.roc[number]
        label = text("report.auc", "{name}  AUC {auc:.3f}", name=short(score.name, _TITLED_LETTERS), auc=score.auc)
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=color, linewidth=1.4, label=label)
    axes.set_xlabel(text("report.false_positive", "false positive rate"), fontsize=9)
    axes.set_ylabel(text("report.true_positive", "true positive rate"), fontsize=9)
    axes.set_aspect("equal")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _tokens(axes: Axes, measures: TokenMeasures) -> None:
    plain(axes, text("report.tokens", "Most frequent tokens: share foreseen"))
    scores = measures.tokens[::-1]  # the most frequent stands at the top
    bars = axes.barh(range(len(scores)), [score.accuracy for score in scores], color=LINES[0])
    axes.set_yticks(range(len(scores)), labels=[repr(short(score.token, _TITLED_LETTERS)) for score in scores])
    axes.bar_label(bars, [format_value(score.accuracy, "fraction") for score in scores], fontsize=7, padding=2)
    axes.set_xlim(0, 1.15)


def _numbers(axes: Axes, measures: NumberMeasures) -> None:
    plain(axes, text("report.numbers", "Predicted against true"))
    true, predicted = measures.true.ravel(), measures.predicted.ravel()
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, linestyle=":", linewidth=1, color="gray")
    axes.scatter(true, predicted, s=10, color=LINES[0], alpha=0.7, linewidths=0)
    axes.set_xlabel(text("report.true_number", "true"), fontsize=9)
    axes.set_ylabel(text("report.predicted_number", "predicted"), fontsize=9)


def _curves(curves: LearningCurves) -> list[Drawing]:
    """Loss, and accuracy where it is known, over the epochs."""
    lines = (
        (text("report.loss_curve", "Loss"), curves.loss, curves.validation_loss),
        (text("report.accuracy_curve", "Accuracy, %"), 100 * curves.accuracy, 100 * curves.validation_accuracy),
    )
    best = curves.best.epoch if curves.best else None
    return [
        partial(_curve, title=title, training=training, validation=validation, best=best)
        for title, training, validation in lines
        if not np.isnan((*training, *validation)).all()
    ]


def _curve(
    axes: Axes, *, title: str, training: NDArray[np.float64], validation: NDArray[np.float64], best: int | None
) -> None:
    from matplotlib.ticker import MaxNLocator

    plain(axes, title)
    epochs = np.arange(1, len(training) + 1)
    names = (text("report.training", "training"), text("report.validation", "validation"))
    for values, name, color, style in zip((training, validation), names, LINES, ("-", "--"), strict=False):
        axes.plot(epochs, values, style, marker="o", markersize=3, color=color, label=name)
    if best is not None:
        label = text("report.best_epoch", "lowest validation loss")
        axes.axvline(best, linestyle=":", linewidth=1.2, color="gray", label=label)
    axes.set_xlabel(text("report.epoch", "epoch"), fontsize=9)
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(fontsize=7, frameon=False)


def _examples(measures: Measures | None) -> Section | None:
    """Samples above, below them what the model made of them."""
    pairs = measures.examples if isinstance(measures, PictureMeasures) else ()
    pictures = [_pair(sample, output) for sample, output in pairs]
    if not pictures or any(picture is None for picture in pictures):
        return None
    title = text("report.examples", "Input (above) and what the model gives back (below)")
    titled = [(picture, "") for picture in pictures if picture is not None]
    return _gallery_inches(titled), lambda part: _gallery(part, title, titled)


def _mistakes(mistakes: Sequence[Mistake]) -> Section | None:
    """The worst mistakes with as much height as they need; None where there are none."""
    if not mistakes:
        return None
    pictures = [_drawn(mistake) for mistake in mistakes]
    titled = [(p, _caption(m)) for p, m in zip(pictures, mistakes, strict=True) if p is not None]
    if len(titled) < len(mistakes):
        lines = [short(line, _LINE_LETTERS) for line in mistakes_table(mistakes).text().splitlines()]
        return _LINE_INCHES * (len(lines) + 2), lambda part: _written(part, "\n".join(lines))
    title = text("report.mistakes", "Worst mistakes, highest loss first")
    return _gallery_inches(titled), lambda part: _gallery(part, title, titled)


def _drawn(mistake: Mistake) -> NDArray[np.float32] | None:
    given_back = mistake.answer.picture
    return as_picture(mistake.sample) if given_back is None else _pair(mistake.sample, given_back)


def _pair(sample: Tensor, output: Tensor) -> NDArray[np.float32] | None:
    """A sample as one picture with what was made of it below."""
    both = [as_picture(sample), as_picture(output)]
    if both[0] is None or both[1] is None or both[0].shape != both[1].shape:
        return None
    joined: NDArray[np.float32] = np.concatenate([p for p in both if p is not None])
    return joined


def _caption(mistake: Mistake) -> str:
    answer = mistake.answer
    place = text("report.place", "#{index}  loss {loss:.2f}", index=mistake.index, loss=mistake.loss)
    if answer.probability is None:
        return place
    said = text(
        "report.said",
        "{predicted} ({share}), is {true}",
        predicted=short(answer.predicted, _TITLED_LETTERS),
        share=format_value(answer.probability, "fraction"),
        true=short(answer.true, _TITLED_LETTERS),
    )
    return f"{said}\n{place}"


def _gallery_inches(pictures: Sequence[tuple[NDArray[np.float32], str]]) -> float:
    """As high as the pictures are, with their captions."""
    rows = -(-len(pictures) // _PICTURES_IN_A_ROW)
    height, width = pictures[0][0].shape[:2]
    return float(rows * (_PICTURE_INCHES * height / width + _CAPTION_INCHES) + _CAPTION_INCHES)


def _gallery(part: SubFigure, title: str, pictures: Sequence[tuple[NDArray[np.float32], str]]) -> None:
    part.suptitle(title, fontsize=10, x=0.01, ha="left")
    rows = -(-len(pictures) // _PICTURES_IN_A_ROW)
    for place, (picture, caption) in enumerate(pictures):
        axes = part.add_subplot(rows, _PICTURES_IN_A_ROW, place + 1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(caption, fontsize=7)
        axes.set_axis_off()


def _written(part: SubFigure, lines: str) -> None:
    part.text(0.01, 0.97, lines, family="monospace", fontsize=8, va="top", ha="left")
