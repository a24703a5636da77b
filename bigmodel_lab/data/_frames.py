"""pandas frames as plain arrays, where pandas is in use; it is never imported here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.data._columns import class_numbers, label_position, left_out
from bigmodel_lab.data._tensors import as_tensor
from bigmodel_lab.errors import DataError, ShapeError
from bigmodel_lab.i18n import text


@dataclass(frozen=True)
class Plain:
    """Samples without pandas."""

    samples: object
    """Arrays in the place of frames; whatever came where there was no frame."""
    class_names: tuple[str, ...] = ()
    """What the classes are called where the labels were words; else empty."""
    notes: tuple[str, ...] = ()
    """Rows that are left out."""


@dataclass(frozen=True)
class _Rows:
    x: NDArray[Any]
    labels: Any
    """float64 numbers, or a list of words."""
    notes: tuple[str, ...]


def plain_arrays(samples: object) -> Plain:
    """Samples with every frame, pair of frames or dict of them turned into arrays.

    Args:
        samples: A ``DataFrame`` whose label column is named label, target, class or y or is the last; ``(x, y)`` of
            ``DataFrame`` and ``Series``; a dict of splits of either; or anything else, which stays as it is.

    Raises:
        DataError: A column of features holds no numbers, or more than half of the rows have missing values.
        ShapeError: Frame and labels differ in length.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not _holds_frames(samples, pandas):
        return Plain(samples)
    given = samples if isinstance(samples, Mapping) else {"": samples}
    framed = {name: part for name, part in given.items() if _holds_frames(part, pandas)}
    rows = {name: _read(name, part, pandas) for name, part in framed.items()}
    words = {name: part.labels for name, part in rows.items() if isinstance(part.labels, list)}
    numbers, class_names = class_numbers(words) if words else ({}, ())
    parts = {**given, **{name: (part.x, numbers.get(name, part.labels)) for name, part in rows.items()}}
    notes = tuple(note for part in rows.values() for note in part.notes)
    return Plain(parts if isinstance(samples, Mapping) else parts[""], class_names, notes)


def _holds_frames(samples: object, pandas: Any) -> bool:
    if isinstance(samples, Mapping):
        return any(_holds_frames(part, pandas) for part in samples.values())
    if isinstance(samples, (tuple, list)):
        return any(isinstance(part, (pandas.DataFrame, pandas.Series)) for part in samples)
    return isinstance(samples, pandas.DataFrame)


def _read(name: str, part: Any, pandas: Any) -> _Rows:
    """Features and labels of the rows that have all of them."""
    if isinstance(part, pandas.DataFrame):
        at = label_position(list(part.columns))
        part = part.iloc[:, [i for i in range(part.shape[1]) if i != at]], part.iloc[:, at]
    if len(part) != 2:
        raise DataError(text("error.frame_parts", "Data with frames is (x, y); {count} parts came.", count=len(part)))
    x = _features(part[0], pandas)
    y = _label_column(part[1], pandas)
    if len(x) != len(y):
        raise ShapeError(
            text("error.frame_rows", "The frame has {x} rows and its labels {y}.", x=len(x), y=len(y)),
        )
    missing = ~np.isfinite(x).all(tuple(range(1, x.ndim))) | y.isna().to_numpy()
    return _Rows(x[~missing], _label_values(y[~missing], pandas), _notes(name, missing))


def _features(x: Any, pandas: Any) -> NDArray[Any]:
    """float32 numbers of a frame, shape (rows, columns), NaN where one is missing; arrays as they are."""
    if not isinstance(x, (pandas.DataFrame, pandas.Series)):
        return as_tensor("x", x).numpy()  # pixels stay uint8, so that they are scaled as without pandas
    frame = x.to_frame() if isinstance(x, pandas.Series) else x
    kinds = zip(frame.columns, frame.dtypes, strict=True)
    wordy = [str(name) for name, kind in kinds if not pandas.api.types.is_numeric_dtype(kind)]
    if wordy:
        raise DataError(
            text(
                "error.frame_words",
                "These columns hold no numbers: {columns}. Turn categories into numbers first, e.g. with "
                "pandas.get_dummies(frame, columns={columns}), or leave the columns out.",
                columns=wordy,
            )
        )
    numbers: NDArray[np.float32] = frame.to_numpy(np.float32, na_value=np.nan)
    return numbers


def _label_column(y: Any, pandas: Any) -> Any:
    """Labels as a Series with row numbers from 0."""
    column = y.iloc[:, 0] if isinstance(y, pandas.DataFrame) and y.shape[1] == 1 else y
    if isinstance(column, pandas.DataFrame):
        raise ShapeError(
            text(
                "error.frame_labels",
                "The labels have {columns} columns; there must be one. Several numbers a sample, as targets of a "
                "regression, come as an array: y.to_numpy().",
                columns=column.shape[1],
            )
        )
    return pandas.Series(np.asarray(column) if not isinstance(column, pandas.Series) else column).reset_index(drop=True)


def _label_values(y: Any, pandas: Any) -> Any:
    if pandas.api.types.is_numeric_dtype(y):
        return y.to_numpy(np.float64)
    return [str(label) for label in y]


def _notes(name: str, missing: NDArray[np.bool_]) -> tuple[str, ...]:
    bad = np.flatnonzero(missing).tolist()
    source = text("data.frame", "the frame {name}", name=name).strip()
    what = text("data.rows", "rows")
    return left_out(source, bad, len(missing), what=what, example=text("data.row_missing", "counted from 0"))
