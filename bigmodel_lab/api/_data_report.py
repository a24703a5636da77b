"""``data_report``: what is in data, before anything is trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bigmodel_lab._table import Table
from bigmodel_lab.data import Data, DataFacts, examine, load_data
from bigmodel_lab.data._report_facts import Range, SplitFacts, Words
from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_number, format_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CLASSES = 20  # rows of the table of classes
_CHANNELS = {3: ("red", "green", "blue")}


@dataclass(frozen=True, repr=False, eq=False)
class DataReport:
    """What was found in data; prints as text, shows as tables in a notebook, and draws itself."""

    facts: DataFacts
    """Every number of the report."""
    data: Data
    """The data that was looked at, loaded; :func:`fit` takes it as it is."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may spoil training or its judgement, in words, most severe first."""
        return self.facts.warnings

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noticed while reading, e.g. lines that were left out, with their numbers."""
        return self.facts.notes

    def plot(self, *, dark: bool = False) -> Figure:
        """Class balance, where values lie, and some samples as a matplotlib figure.

        Args:
            dark: Light letters on a dark ground.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from bigmodel_lab.widgets._data_plot import data_figure

        return data_figure(self.facts, self.data, dark=dark)

    def __repr__(self) -> str:
        tables = [table.text() for table in _tables(self.facts)]
        return "\n\n".join(
            [_head(self.facts), *tables, *("\n".join(_bulleted(*part)) for part in _remarks(self.facts))]
        )

    def _repr_html_(self) -> str:
        name, *rest = _head(self.facts).split("\n")
        head = f"<h4>{escape(name)}</h4>" + "".join(f"<p>{escape(line)}</p>" for line in rest)
        tables = "".join(table.html() for table in _tables(self.facts))
        return head + tables + "".join(_listed(*part) for part in _remarks(self.facts))


def data_report(data: Any = None, **options: Any) -> DataReport:
    """Look at data before training: sizes, ranges, class balance, duplicates, leaks, missing values, bad lines.

    Args:
        data: Whatever :func:`fit` takes: the name of a data set, a path, arrays, frames, loaded data; None is the
            embedded digits.
        options: How to load it, as for ``bigmodel_lab.data.load_data``, e.g. ``test_fraction=0.2``.

    Raises:
        UnknownNameError: A text that is neither a data set nor a path.
        DataError: It cannot be read as samples with labels.

    >>> import bigmodel_lab as lab
    >>> report = lab.data_report("digits")
    >>> report.facts.train.samples, report.warnings
    (1455, ())
    >>> print(repr(report).splitlines()[0])
    digits: classification, 10 classes, a sample is (1, 28, 28) uint8 × 0.003922
    """
    loaded = load_data(data, **options)
    return DataReport(examine(loaded), loaded)


def _head(facts: DataFacts) -> str:
    """Name and kind of the data, what it is, and its digest where it has one."""
    kind = [str(facts.task).replace("_", " ")]
    if facts.class_names:
        kind.append(text("data_report.classes", "{count} classes", count=len(facts.class_names)))
    if facts.vocabulary:
        kind.append(text("data_report.vocabulary", "{count} words known", count=format_number(facts.vocabulary)))
    factor = f" × {format_number(facts.scale)}" if facts.scale else ""
    sample = text(
        "data_report.sample",
        "a sample is {shape} {dtype}{factor}",
        shape=facts.input_shape,
        dtype=facts.dtype,
        factor=factor,
    )
    digest = [f"SHA-256: {facts.sha256}"] if facts.sha256 else []
    return "\n".join([f"{facts.name}: {', '.join([*kind, sample])}", facts.description, *digest])


def _tables(facts: DataFacts) -> list[Table]:
    """All tables that have something to say about this data."""
    tables = [_splits(facts), _ranges(facts), _texts(facts), _classes(facts)]
    return [table for table in tables if table.rows]


def _splits(facts: DataFacts) -> Table:
    heads = (
        text("data_report.split", "split"),
        text("data_report.samples", "samples"),
        text("data_report.duplicates", "duplicates"),
        text("data_report.missing", "with NaN or ∞"),
        text("data_report.leaks", "also in train"),
    )
    leaks = {leak.held: leak.count for leak in facts.leaks if leak.known == "train"}
    rows = tuple(
        (
            split.name,
            *map(format_number, (split.samples, split.duplicates.count, split.missing.count)),
            "" if split is facts.train else format_number(leaks.get(split.name, 0)),
        )
        for split in facts.splits
    )
    return Table(heads, rows, right={1, 2, 3, 4})


def _ranges(facts: DataFacts) -> Table:
    heads = (
        text("data_report.values", "values"),
        text("data_report.minimum", "minimum"),
        text("data_report.maximum", "maximum"),
        text("data_report.mean", "mean"),
        text("data_report.deviation", "deviation"),
    )
    rows = [row for split in facts.splits for row in _range_rows(split)]
    return Table(heads, tuple(rows), right={1, 2, 3, 4})


def _range_rows(split: SplitFacts) -> list[tuple[str, ...]]:
    names = _CHANNELS.get(len(split.ranges), tuple(map(str, range(len(split.ranges)))))
    named = [
        (f"{split.name}, {name}" if len(names) > 1 else split.name, r)
        for name, r in zip(names, split.ranges, strict=True)
    ]
    if split.targets:
        named.append((text("data_report.targets", "{split}, to predict", split=split.name), split.targets))
    return [(name, *_numbers(r)) for name, r in named]


def _numbers(found: Range) -> tuple[str, ...]:
    return tuple(map(format_number, (found.minimum, found.maximum, found.mean, found.deviation)))


def _texts(facts: DataFacts) -> Table:
    heads = (
        text("data_report.texts", "texts"),
        text("data_report.shortest", "fewest words"),
        text("data_report.median", "median"),
        text("data_report.longest", "most words"),
        text("data_report.unknown", "unknown words"),
    )
    rows = tuple((split.name, *_lengths(split.words)) for split in facts.splits if split.words)
    return Table(heads, rows, right={1, 2, 3, 4})


def _lengths(words: Words) -> tuple[str, ...]:
    """Fewest, median and most words of a text, and the share of unknown ones."""
    occurring = [length for length, count in enumerate(words.lengths) if count]
    half = sum(words.lengths) / 2
    median = next(length for length, below in enumerate(accumulate(words.lengths)) if below >= half)
    numbers = (occurring[0], median, occurring[-1])
    return *map(format_number, numbers), format_value(words.unknown, "fraction")


def _classes(facts: DataFacts) -> Table:
    """Samples of each class in each split; of very many classes the first."""
    filled = [split for split in facts.splits if split.classes]
    heads = (text("data_report.class", "class"), *(split.name for split in filled))
    counted = zip(facts.class_names[:_MOST_CLASSES], *(split.classes for split in filled), strict=False)
    rows = [(name, *map(format_number, counts)) for name, *counts in counted] if filled else []
    more = len(facts.class_names) - _MOST_CLASSES
    if rows and more > 0:
        rows.append((text("data_report.more", "… and {more} more", more=more), *[""] * len(filled)))
    return Table(heads, tuple(rows), right=set(range(1, len(heads))))


def _remarks(facts: DataFacts) -> list[tuple[str, tuple[str, ...]]]:
    """Warnings and notes, each with its title."""
    none = (text("data_report.no_warnings", "none"),)
    warnings = text("data_report.warnings", "Warnings, most severe first:")
    notes = text("data_report.notes", "Noticed while reading:")
    return [(warnings, facts.warnings or none), *([(notes, facts.notes)] if facts.notes else [])]


def _bulleted(title: str, lines: tuple[str, ...]) -> list[str]:
    return [title, *(f"  • {line}" for line in lines)]


def _listed(title: str, lines: tuple[str, ...]) -> str:
    return f"<p>{escape(title)}</p><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
