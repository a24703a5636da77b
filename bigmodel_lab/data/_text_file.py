"""Text for classification from a file of one's own, such as the documents' ``data.txt``: one document a line.

A line is a label, a tab, and the text. Where fewer than half of the lines have a tab, the first word of each line is its
label and what follows is its text. The file is in UTF-8. A line that cannot be used is named by its number,
from 1, in :attr:`bigmodel_lab.data.Data.notes`; with more of them than of others, nothing is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bigmodel_lab.data._columns import stretches
from bigmodel_lab.data._text import text_data
from bigmodel_lab.data.base import Data, Division
from bigmodel_lab.errors import DataError, EmptyDataError
from bigmodel_lab.i18n import Text, text

_SHOWN = 20  # labels that a note lists
_EMPTY = Text("data.line_empty", "empty")
_NO_LABEL = Text("data.line_without_label", "without a label")
_NO_TEXT = Text("data.line_without_text", "without a text")
_UNDECODABLE = Text("data.line_undecodable", "not in UTF-8")


@dataclass
class _Read:
    """The documents of a file, and the lines without one."""

    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Number of each document's line."""
    unusable: dict[Text, list[int]] = field(default_factory=dict)
    """Numbers of the lines that cannot be used, by what is wrong with them."""


def read_text_file(path: Path, division: Division) -> Data:
    r"""Documents with labels from a text file.

    Args:
        path: The file.
        division: How to divide the documents.

    Raises:
        EmptyDataError: The file is empty.
        DataError: It cannot be read, more than half of its lines cannot be used, or all have one label.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "data.txt"
    >>> _ = file.write_text("weather\train and snow\nfootball\tgoal and pass\n" * 10 + "weather\n")
    >>> data = read_text_file(file, Division())
    >>> data.class_names, len(data.train), data.notes
    (('football', 'weather'), 16, ('data.txt: 1 of 21 lines is not used, without a label: 21.',))
    """
    lines = _lines(path)
    read = _read(lines)
    notes = (*_unusable_notes(path, read.unusable, len(lines)), *_lone_label_notes(path, read))
    description = text("data.text_file.description", "Documents with labels from {path}, one a line.", path=str(path))
    return text_data(path.stem, description, read.texts, read.labels, division, notes)


def _lines(path: Path) -> list[bytes]:
    """The lines of a file, as they lie.

    Raises:
        DataError: It cannot be read.
        EmptyDataError: It has none.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()  # the mark that some editors put first
    except OSError as error:
        raise DataError(
            text("error.text_file_unreadable", "{path} cannot be read: {error}", path=str(path), error=error)
        ) from error
    if not lines:
        raise EmptyDataError(
            text(
                "error.text_file_empty",
                "{path} is empty. It must hold one document a line: a label, a tab, and the text.",
                path=str(path),
            )
        )
    return lines


def _read(lines: list[bytes]) -> _Read:
    """The document of every line that has one."""
    read = _Read()
    separator = "\t" if 2 * sum(b"\t" in line for line in lines) >= len(lines) else None
    for number, line in enumerate(lines, 1):
        label, document, fault = _parsed(line, separator)
        if fault is not None:
            read.unusable.setdefault(fault, []).append(number)
            continue
        read.labels.append(label)
        read.texts.append(document)
        read.lines.append(number)
    return read


def _parsed(line: bytes, separator: str | None) -> tuple[str, str, Text | None]:
    """Label and text of a line, and what is wrong with it; None where nothing is.

    Args:
        line: Without its end.
        separator: A tab, or None for any white space.
    """
    try:
        whole = line.decode()
    except UnicodeDecodeError:
        return "", "", _UNDECODABLE
    if "\0" in whole:  # a file in UTF-16
        return "", "", _UNDECODABLE
    if not whole.strip():
        return "", "", _EMPTY
    label, *rest = (piece.strip() for piece in whole.split(separator, 1))
    if not label or (separator and not rest):
        return "", "", _NO_LABEL
    return (label, rest[0], None) if any(rest) else ("", "", _NO_TEXT)


def _unusable_notes(path: Path, unusable: Mapping[Text, list[int]], total: int) -> tuple[str, ...]:
    """A note for each thing that is wrong, with the numbers of the lines.

    Raises:
        DataError: More than half of the lines cannot be used.
    """
    notes = tuple(
        text(
            "data.text_file.unusable",
            "{file}: {count} of {total} lines {verb} not used, {fault}: {numbers}.",
            file=path.name,
            count=len(numbers),
            total=total,
            verb="is" if len(numbers) == 1 else "are",
            fault=fault,
            numbers=stretches(numbers),
        )
        for fault, numbers in unusable.items()
    )
    if 2 * sum(map(len, unusable.values())) > total:
        raise DataError(
            text(
                "error.text_file_lines",
                "{notes} That is more than half. A line must hold a label, a tab, and the text, or a label of one "
                "word and the text, in UTF-8.",
                notes=" ".join(notes),
            )
        )
    return notes


def _lone_label_notes(path: Path, read: _Read) -> tuple[str, ...]:
    """A note on labels that stand on one line only: there the label may be missing, and the first word taken for it."""
    counts = Counter(read.labels)
    lone = [
        text("data.text_file.label_on_line", "{label!r} (line {line})", label=label, line=line)
        for label, line in zip(read.labels, read.lines, strict=True)
        if counts[label] == 1
    ]
    if not lone:
        return ()
    more = text("data.more_labels", " and {more} more", more=len(lone) - _SHOWN) if len(lone) > _SHOWN else ""
    return (
        text(
            "data.text_file.lone_labels",
            "{file}: labels that stand on one line only: {labels}{more}. Is the label missing there?",
            file=path.name,
            labels=", ".join(lone[:_SHOWN]),
            more=more,
        ),
    )
