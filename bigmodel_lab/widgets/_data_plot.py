"""Data as a picture: how many samples each class has, where values lie, and what some samples look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bigmodel_lab.data import Data, DataFacts, Split
from bigmodel_lab.i18n import text
from bigmodel_lab.training.mistakes import as_picture
from bigmodel_lab.widgets._figure import LINES, colours, new_figure, plain, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Drawing: TypeAlias = Callable[["Axes"], None]
_PANEL_INCHES = (5.2, 3.2)
_NAMED_CLASSES = 30  # more names do not fit below their bars
_NAMED_FEATURES = 40
_COMMON_WORDS = 20
_FEWEST_BINS, _BINS = 8, 40
_PICTURE_COLUMNS, _PICTURE_ROWS = 10, 3
_LETTERS = 16  # of a class name
_GAP = 2  # pixels between two pictures
_MOST_VALUES = 1_000_000  # of a histogram; more do not change its shape
_CHANNEL_LINES = {1: (5,), 3: (8, 2, 0)}  # grey; red, green, blue


def data_figure(facts: DataFacts, data: Data, *, dark: bool = False) -> Figure:
    """Everything of a data report that can be drawn.

    Args:
        facts: What was found.
        data: The same data.
        dark: Light letters on a dark ground.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    panels = [_targets_panel(facts, data), _values_panel(data)]
    pictures = _mosaic(facts, data.train)
    width, height = _PANEL_INCHES
    below = 0.0 if pictures is None else 2 * width * pictures.shape[0] / pictures.shape[1] + 0.5
    with colours(dark=dark):
        figure = new_figure((2 * width, height + below + 0.4))
        figure.suptitle(facts.name, fontsize=12, fontweight="bold")
        grid = figure.add_gridspec(1 if pictures is None else 2, 2, height_ratios=[height, below][: 1 + bool(below)])
        for place, draw in enumerate(panels):
            draw(figure.add_subplot(grid[0, place]))
        if pictures is not None:
            _show(figure.add_subplot(grid[1, :]), pictures, facts)
    return figure


def _targets_panel(facts: DataFacts, data: Data) -> Drawing:
    """What is to be learned: classes, numbers, or words."""
    if facts.class_names:
        return lambda axes: _balance(axes, facts)
    if facts.task == "regression":
        title = text("data_plot.targets", "Numbers to predict")
        return lambda axes: _histogram(axes, title, {name: split.y for name, split in data.splits.items()})
    return lambda axes: _common_words(axes, data)


def _values_panel(data: Data) -> Drawing:
    """What it is learned from: lengths of texts, ranges of features, or all values."""
    if data.task == "next_token":
        return lambda axes: _ranks(axes, data)
    if data.vocabulary and data.train.x.dtype == torch.int64:
        title = text("data_plot.lengths", "Words of a text")
        lengths = {name: (split.x != 0).flatten(1).sum(1) for name, split in data.splits.items() if len(split)}
        return lambda axes: _histogram(axes, title, lengths)
    if 1 < data.train.x.shape[1] <= _NAMED_FEATURES and data.train.x.ndim == 2:
        return lambda axes: _features(axes, data.train.x)
    return lambda axes: _values(axes, data.train.x)


def _balance(axes: Axes, facts: DataFacts) -> None:
    """Share of each class in each split, side by side."""
    plain(axes, text("data_plot.balance", "Classes: share of each split"))
    filled = [split for split in facts.splits if split.samples]
    places = np.arange(len(facts.class_names))
    width = 0.8 / len(filled)
    axes.set_axisbelow(True)
    for nth, split in enumerate(filled):
        shares = 100 * np.array(split.classes) / split.samples
        axes.bar(places + (nth - (len(filled) - 1) / 2) * width, shares, width, color=LINES[nth], label=split.name)
    axes.set_ylabel("%", fontsize=8)
    if len(places) <= _NAMED_CLASSES:
        axes.set_xticks(places, labels=[short(name, _LETTERS) for name in facts.class_names])
        if _are_long(facts.class_names):
            axes.tick_params(axis="x", rotation=40)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    _legend(axes, len(filled))


def _histogram(axes: Axes, title: str, values: dict[str, Tensor]) -> None:
    """Share of the samples of each split by value."""
    plain(axes, title)
    numbers = {name: _finite(value) for name, value in values.items() if len(value)}
    everything = np.concatenate(list(numbers.values()))
    if len(everything) == 0:
        return
    edges = _edges(everything)
    for nth, (name, some) in enumerate(numbers.items()):
        weights = np.full(len(some), 100 / max(len(some), 1))
        heights, _ = np.histogram(some, edges, weights=weights)
        axes.stairs(heights, edges, linewidth=1.4, color=LINES[nth], label=name)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(text("data_plot.share", "% of the split"), fontsize=8)
    _legend(axes, len(numbers))


def _common_words(axes: Axes, data: Data) -> None:
    """The most frequent tokens of the training samples."""
    plain(axes, text("data_plot.words", "Most frequent words (% of all)"))
    counts = data.train.x.flatten().bincount(minlength=len(data.vocabulary))
    most = counts.argsort(descending=True)[:_COMMON_WORDS]
    most = most[counts[most] > 0]
    names = [short(data.vocabulary[token], _LETTERS) if data.vocabulary else str(token) for token in most.tolist()]
    places = np.arange(len(names))
    axes.set_axisbelow(True)
    axes.barh(places, 100 * (counts[most] / counts.sum()).numpy(), color=LINES[0])
    axes.set_yticks(places, labels=names)
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()


def _ranks(axes: Axes, data: Data) -> None:
    """How often each word occurs, from the most frequent on: nearly a straight line in most languages."""
    plain(axes, text("data_plot.ranks", "Words by rank: how often each occurs"))
    counts = data.train.x.flatten().bincount().sort(descending=True).values
    counts = counts[counts > 0]
    axes.loglog(np.arange(1, len(counts) + 1), counts.numpy(), color=LINES[0], linewidth=1.4)
    axes.set_xlabel(text("data_plot.rank", "rank"), fontsize=8)


def _features(axes: Axes, x: Tensor) -> None:
    """Lowest and highest value of each feature, and their mean."""
    from matplotlib.ticker import MaxNLocator

    plain(axes, text("data_plot.features", "Training features: range and mean"))
    columns = [_finite(column) for column in x.T]
    for place, column in enumerate(columns):
        if len(column):
            axes.plot([place, place], [column.min(), column.max()], color=LINES[0], linewidth=3, alpha=0.6)
            axes.plot(place, column.mean(), "o", color=LINES[1], markersize=4)
    axes.set_xlabel(text("data_plot.feature", "feature"), fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _values(axes: Axes, x: Tensor) -> None:
    """How often each value occurs; one line a channel of images."""
    plain(axes, text("data_plot.values", "Training values (% of all)"))
    lines = _CHANNEL_LINES.get(x.shape[1], (5,)) if x.ndim == 4 else (0,)
    parts = [x[:, n] for n in range(len(lines))] if x.ndim == 4 and len(lines) == x.shape[1] else [x]
    for color, part in zip(lines, parts, strict=False):
        some = _finite(part)
        if len(some) == 0:
            continue
        heights, edges = np.histogram(some, _edges(some))
        axes.stairs(100 * heights / len(some), edges, color=LINES[color], linewidth=1.4)
    axes.set_ylim(bottom=0)


def _mosaic(facts: DataFacts, train: Split) -> NDArray[np.float32] | None:
    """Some training samples in one picture with transparent gaps, a column a class; None where they are no pictures.

    Shape (height, width, 4): red, green, blue and how opaque, 0 … 1.
    """
    chosen = _chosen(facts, train)
    pictures = [as_picture(train.x[n]) if n is not None else None for n in chosen]
    first = next((picture for picture in pictures if picture is not None), None)
    if first is None:
        return None
    height, width = (side + _GAP for side in first.shape[:2])
    columns = -(-len(chosen) // _PICTURE_ROWS)
    mosaic = np.zeros((_PICTURE_ROWS * height - _GAP, columns * width - _GAP, 4), np.float32)
    for place, picture in enumerate(pictures):
        if picture is not None:
            top, left = place % _PICTURE_ROWS * height, place // _PICTURE_ROWS * width
            colour = picture if picture.ndim == 3 else picture[:, :, None]
            mosaic[top : top + height - _GAP, left : left + width - _GAP, :3] = colour
            mosaic[top : top + height - _GAP, left : left + width - _GAP, 3] = 1
    return mosaic


def _chosen(facts: DataFacts, train: Split) -> list[int | None]:
    """Numbers of the samples to show, column by column; None where a class has too few."""
    if not facts.class_names:
        return list(range(min(len(train), _PICTURE_COLUMNS * _PICTURE_ROWS)))
    chosen: list[int | None] = []
    for number in range(min(len(facts.class_names), _PICTURE_COLUMNS)):
        found: list[int] = torch.nonzero(train.y == number).flatten()[:_PICTURE_ROWS].tolist()
        chosen += [*found, *[None] * (_PICTURE_ROWS - len(found))]
    return chosen


def _show(axes: Axes, mosaic: NDArray[np.float32], facts: DataFacts) -> None:
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_title(text("data_plot.samples", "Training samples"), fontsize=10, loc="left")
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    names = facts.class_names[:_PICTURE_COLUMNS]
    step = (mosaic.shape[1] + _GAP) / max(len(names), 1)
    axes.set_xticks(
        [(n + 0.5) * step - _GAP / 2 for n in range(len(names))], labels=[short(name, _LETTERS) for name in names]
    )
    axes.tick_params(labelsize=8, length=0)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders of the bins: as many as the values fill; of whole numbers, each bin holds equally many of them."""
    low, high = float(values.min()), float(values.max())
    bins = int(np.clip(np.sqrt(len(values)), _FEWEST_BINS, _BINS))
    if (values % 1).any():
        return np.histogram_bin_edges(values, bins)
    width = max(1, -(-int(high - low + 1) // bins))
    return np.arange(low, high + width + 1, width) - 0.5


def _finite(values: Tensor) -> NDArray[np.float64]:
    """Values as one row without NaN and infinite ones; of very many, some at equal distances."""
    flat = values.flatten()
    some = flat[:: max(1, len(flat) // _MOST_VALUES)].to(torch.float64).numpy()
    finite: NDArray[np.float64] = some[np.isfinite(some)]
    return finite


def _legend(axes: Axes, entries: int) -> None:
    """Below the chart, where it hides nothing."""
    if entries > 1:
        axes.legend(fontsize=8, frameon=False, ncols=entries, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _are_long(names: tuple[str, ...]) -> bool:
    return sum(len(short(name, _LETTERS)) + 1 for name in names) > 60
