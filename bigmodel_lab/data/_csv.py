"""Tables in CSV files, as the documents' ``train_data.csv`` (D1 §3.2): numbers and a label a line, or a text and a label."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data._columns import LABEL_NAMES, class_numbers, label_position, left_out
from bigmodel_lab.data._splits import hold_out
from bigmodel_lab.data._text import class_names, text_data, tokenized
from bigmodel_lab.data.base import Data, Division, Split, TaskKind
from bigmodel_lab.errors import DataError, EmptyDataError
from bigmodel_lab.i18n import text

_COMPANIONS = {"train_data.csv": "test_data.csv"}  # the names in D1 §3.2
_TEXT_NAMES = ("text", "review", "sentence", "document", "title", "content")
_MISSING = frozenset({"", "na", "n/a", "nan", "?"})
_LARGEST = float(np.finfo(np.float32).max)  # samples are kept in this type
_HEAD = 20  # lines by which the layout is found out
_DELIMITERS = ",;\t"
_NO_DELIMITER = "\x1f"  # a sign that no table has in a cell: the whole line is one cell


@dataclass(frozen=True)
class _Layout:
    """How a file is to be read."""

    delimiter: str
    names: tuple[str, ...]
    """What each column is called; made up where there is no header."""
    header: bool
    label: int
    """Position of the column with the labels."""
    text: bool
    """There is one other column, and it holds text."""


@dataclass
class _Read:
    """The lines of a file that can be used, and the numbers of those that cannot."""

    total: int = 0
    """Lines below the header."""
    labels: list[str] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    """Numbers of each line, without its label."""
    texts: list[str] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    """Numbers of the lines left out, from 1 for the first line of the file."""
    example: str = ""
    """What is wrong with the first of them."""


def read_csv(path: Path, division: Division, task: TaskKind = "classification") -> Data:
    r"""Samples and labels from a CSV file, with a header or without, separated by commas, semicolons or tabs.

    The label is the column named label, target, class or y, or else the last. Labels that are words become class
    numbers in alphabetical order. A table of one text column and one label column becomes text for classification.
    Beside ``train_data.csv``, ``test_data.csv`` holds the test samples. Lines with a cell that
    is missing or no number are left out, and named by their numbers in :attr:`Data.notes`.

    Args:
        path: The file, in UTF-8.
        division: How to divide what is not divided.
        task: ``"classification"``, or ``"regression"`` where the label column holds numbers to be predicted.

    Raises:
        EmptyDataError: There are no lines.
        DataError: The file cannot be read, or more than half of its lines.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = file.write_text("width,height,class\n" + "1.5,3,rose\n2,4.5,lily\n" * 10 + "7,,rose\n")
    >>> data = read_csv(file, Division())
    >>> data.class_names, data.input_shape, "line 22" in data.notes[0]
    (('lily', 'rose'), (2,), True)
    """
    layout = _layout(path)
    read = {name: _read(file, layout, task) for name, file in _files(path).items()}
    notes = tuple(note for name, part in read.items() for note in _notes(_files(path)[name], part))
    if layout.text and task == "classification":
        return _text(path, layout, read, division, notes)
    labels, names = class_numbers({name: part.labels for name, part in read.items()})
    samples = {name: (_matrix(part, layout), labels[name]) for name, part in read.items()}
    return from_arrays(
        samples if "test" in samples else samples["train"],
        name=path.stem,
        description=_description(path, layout),
        division=division,
        task=task,
        class_names=names,
        notes=notes,
    )


def _files(path: Path) -> dict[str, Path]:
    """The file, and the one beside it that holds the test samples."""
    test = path.with_name(_COMPANIONS.get(path.name, path.name))
    return {"train": path, "test": test} if test != path and test.is_file() else {"train": path}


def _description(path: Path, layout: _Layout) -> str:
    return text(
        "data.csv.description",
        "Table from {files}: {columns} columns, the label is {label!r}.",
        files=", ".join(str(file) for file in _files(path).values()),
        columns=len(layout.names),
        label=layout.names[layout.label],
    )


def _matrix(part: _Read, layout: _Layout) -> NDArray[np.float32]:
    return np.stack(part.rows) if part.rows else np.empty((0, len(layout.names) - 1), np.float32)


def _notes(path: Path, part: _Read) -> tuple[str, ...]:
    lines = text("data.lines", "lines")
    return left_out(path.name, part.bad, part.total, what=lines, example=part.example)


def _text(path: Path, layout: _Layout, read: Mapping[str, _Read], division: Division, notes: tuple[str, ...]) -> Data:
    """Documents with labels; those of the second file, if there is one, are the test part."""
    description = _description(path, layout)
    train, test = read["train"], read.get("test")
    if test is None:
        return text_data(path.stem, description, train.texts, train.labels, division, notes)
    names = class_names(path.stem, train.labels + test.labels)
    number = {name: i for i, name in enumerate(names)}
    labels, held_labels = (torch.tensor([number[label] for label in part.labels]).long() for part in (train, test))
    first = Split(torch.arange(len(train.texts)), labels)
    rest, validation = hold_out(first, division.validation_fraction, division.seed)
    held = Split(torch.arange(len(test.texts)) + len(train.texts), held_labels)
    texts = train.texts + test.texts
    return tokenized(path.stem, description, texts, (rest, validation, held), names, notes=notes)


def _layout(path: Path) -> _Layout:
    """The layout, found out from the first lines.

    Raises:
        EmptyDataError: There is no line.
        DataError: There is only one column.
    """
    delimiter = _delimiter(path)
    head = [cells for _, cells in islice(_lines(path, delimiter), _HEAD)]
    if not head:
        raise EmptyDataError(text("error.csv_empty", "{path} is empty: it holds no line.", path=str(path)))
    if len(head[0]) < 2:
        raise DataError(
            text(
                "error.csv_columns",
                "{path} has one column: its first line is {line!r}. At least two are needed, one of them the "
                "label, separated by commas, semicolons or tabs.",
                path=str(path),
                line=head[0][0],
            )
        )
    header = _is_header(head)
    names = tuple(head[0]) if header else tuple(f"column {n + 1}" for n in range(len(head[0])))
    label = label_position(names)
    return _Layout(delimiter, names, header, label, _is_text(head[int(header) :], label))


def _delimiter(path: Path) -> str:
    """The separator that occurs most often in the first line."""
    first = next((line for _, line in _lines(path, _NO_DELIMITER)), [""])[0]
    return max(_DELIMITERS, key=first.count)


def _is_header(head: list[list[str]]) -> bool:
    """The first line names the columns: it has a known name, or no number where the next line has one."""
    first = [cell.strip().lower() for cell in head[0]]
    if any(cell in {*LABEL_NAMES, *_TEXT_NAMES} for cell in first):
        return True
    below = head[1] if len(head) > 1 else []
    return not any(map(_is_number, first)) and any(map(_is_number, below))


def _is_text(lines: list[list[str]], label: int) -> bool:
    """There are two columns, and the one beside the label holds words in most lines."""
    pairs = [cells[1 - label].strip() for cells in lines if len(cells) == 2]
    wordy = [cell for cell in pairs if cell.lower() not in _MISSING and not _is_number(cell)]
    return len(pairs) == len(lines) and 2 * len(wordy) > len(pairs)


def _is_number(cell: str) -> bool:
    return _number(cell) is not None


def _number(cell: str) -> float | None:
    """The number in a cell; None for anything else, and for numbers without a value (NaN, infinite or as good as that)."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None


def _read(path: Path, layout: _Layout, task: TaskKind) -> _Read:
    """Every line of a file."""
    found = _Read()
    for line, cells in _without_header(path, layout):
        found.total += 1
        fault = _fault(cells, layout, task)
        if fault:
            found.example = found.example or text("data.line_fault", "line {line}: {fault}", line=line, fault=fault)
            found.bad.append(line)
            continue
        found.labels.append(cells.pop(layout.label).strip())
        if layout.text:
            found.texts.append(cells[0])
        else:
            found.rows.append(np.array([float(cell) for cell in cells], np.float32))
    return found


def _without_header(path: Path, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file below its header.

    Raises:
        DataError: The header names other columns than that of the training file.
    """
    lines = _lines(path, layout.delimiter)
    first = next(lines, None) if layout.header else None
    if first is not None and tuple(first[1]) != layout.names:
        raise DataError(
            text(
                "error.csv_header",
                "{path} has the columns {found}, the training file {expected}. Both must have the same, in the same order.",
                path=str(path),
                found=first[1],
                expected=list(layout.names),
            )
        )
    return lines


def _fault(cells: list[str], layout: _Layout, task: TaskKind) -> str:
    """What is wrong with a line, in words; empty where nothing is."""
    if len(cells) != len(layout.names):
        return text(
            "data.cell_count", "{found} cells instead of {expected}", found=len(cells), expected=len(layout.names)
        )
    for place, cell in enumerate(cells):
        name = layout.names[place]
        if cell.strip().lower() in _MISSING:
            return text("data.cell_missing", "nothing in column {name!r}", name=name)
        numeric = task == "regression" if place == layout.label else not layout.text
        if numeric and _number(cell) is None:
            return text("data.cell_word", "{cell!r} in column {name!r} is no number", cell=cell, name=name)
    return ""


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not empty; a cell in quotes may go over several lines.

    Raises:
        DataError: The file cannot be read as text in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader, line = csv.reader(file, delimiter=delimiter), 1
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            text("error.csv_unreadable", "{path} cannot be read as CSV in UTF-8: {error}", path=str(path), error=error)
        ) from error
