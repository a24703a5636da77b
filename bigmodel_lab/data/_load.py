"""One door for all data: nothing, a name, a path, or arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data._checks import suit_model
from bigmodel_lab.data._family import DATASETS
from bigmodel_lab.data.base import Data, Division
from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text

_NPZ_PARTS = {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}

_BROKEN = (OSError, EOFError, ValueError, BadZipFile, ZlibError, TypeError, AttributeError)  # the last two: a .npy file


def load_data(
    data: object = None,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
) -> Data:
    """Data for training, from whatever names or holds it.

    Args:
        data: None (the embedded digits); the name of a data set, such as ``"digits"``, ``"docs_topics"`` or
            ``"mnist"``; a path, see below; arrays, as :func:`bigmodel_lab.data.from_arrays` takes them; or a
            :class:`Data`, which is returned.
        validation_fraction: Share of the training samples kept for validation, 0 … 1.
        test_fraction: Share of undivided samples kept for the test, 0 … 1.
        seed: Which samples these are.
        input_shape: Shape of one sample as the model takes it; None takes any. Grey images without a
            channel get one.
        classes: Number of classes; None counts to the highest label.

    Raises:
        UnknownNameError: A text that is neither a data set nor a path.
        DataError: The data cannot be trained on; its subclasses say why.
        MissingPackageError: An optional package is needed to read it.

    What a path leads to says how it is read:

    - ``.txt``: one document a line, a label and the text, separated by a tab; or, where most lines have no tab, the first
      word of a line is its label. Lines that cannot be used are named by number in :attr:`Data.notes`.
    - ``.csv``: a table of numbers and a label, or of a text and a label; ``test_data.csv`` beside ``train_data.csv``
      holds the test samples.
    - ``.npz``: the arrays x and y, or x_train, y_train, x_val, y_val, x_test and y_test.
    - a folder with MNIST's IDX files, with CIFAR-10's batches, or with one folder of images a class.

    >>> data = load_data("digits", seed=1)
    >>> len(data.train), len(data.validation), len(data.test), data.input_shape
    (1455, 162, 180, (1, 28, 28))
    """
    loaded = _load(data, Division(validation_fraction, test_fraction, seed), classes)
    return loaded if input_shape is None else suit_model(loaded, input_shape, classes)


def _load(data: object, division: Division, classes: int | None) -> Data:
    if data is None:
        return DATASETS.get("digits").load(division)
    if isinstance(data, Data):
        return data
    if isinstance(data, str) and not _looks_like_path(data):
        return DATASETS.get(data).load(division)
    if isinstance(data, (str, os.PathLike)):
        return _from_path(Path(data).expanduser(), division, classes)
    return from_arrays(data, division=division, classes=classes)


def _looks_like_path(name: str) -> bool:
    exists = os.path.exists(name)  # noqa: PTH110 (False for what is too long for a name; Path raises)
    return name not in DATASETS.names() and (os.sep in name or "/" in name or "." in name or exists)


def _from_path(path: Path, division: Division, classes: int | None) -> Data:
    """Data from a file or folder, by its suffix or by what lies in it."""
    # Unlike the methods of Path, these answer False to what is too long for a name.
    is_file, is_folder = os.path.isfile(path), os.path.isdir(path)  # noqa: PTH112, PTH113
    if path.suffix.lower() == ".npz" and is_file:
        return from_arrays(_read_npz(path), name=path.stem, division=division, classes=classes)
    if is_folder:
        return _folder_reader(path)(path, division)
    read = _FILE_READERS.get(path.suffix.lower())
    if read is None or not is_file:
        raise DataError(
            text(
                "error.data_path",
                "{path} {what}. Data is read from a file with the suffix .txt, .csv or .npz, or from a folder.",
                path=str(path),
                what="is none of these" if is_file else "does not exist",
            )
        )
    return read(path, division)


def _read_text_file(path: Path, division: Division) -> Data:
    from bigmodel_lab.data._text_file import read_text_file

    return read_text_file(path, division)


def _read_csv(path: Path, division: Division) -> Data:
    from bigmodel_lab.data._csv import read_csv

    return read_csv(path, division)


_Reader = Callable[[Path, Division], Data]
_FILE_READERS: dict[str, _Reader] = {".txt": _read_text_file, ".csv": _read_csv}


def _folder_reader(folder: Path) -> _Reader:
    """What reads a folder, by the files that it holds.

    Raises:
        DataError: It holds nothing that is known.
    """
    from bigmodel_lab.data import _image_folder, cifar10, mnist
    from bigmodel_lab.data._idx import holds_idx

    readers: tuple[tuple[Callable[[Path], bool], _Reader], ...] = (
        (holds_idx, mnist.load_folder),
        (cifar10.holds_cifar10, cifar10.load_folder),
        (_image_folder.holds_images, _image_folder.read_image_folder),
    )
    for holds, read in readers:
        if holds(folder):
            return read
    raise DataError(
        text(
            "error.data_folder",
            "{folder} holds no data that is known. Looked for MNIST's four files ('train-images-idx3-ubyte' …, with or "
            "without .gz, there, in raw/ and in MNIST/raw/), CIFAR-10's 'data_batch_1' …, and one folder of images a class.",
            folder=str(folder),
        )
    )


def _read_npz(path: Path) -> object:
    """``x`` and ``y``, or ``x_train``, ``y_train`` … of a NumPy file."""
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except _BROKEN as error:
        raise DataError(
            text("error.npz_unreadable", "{path} cannot be read: {error}", path=str(path), error=error)
        ) from error
    if {"x", "y"} <= arrays.keys():
        return arrays["x"], arrays["y"]
    parts = {name: (arrays[x], arrays[y]) for name, (x, y) in _NPZ_PARTS.items() if {x, y} <= arrays.keys()}
    if "train" not in parts:
        raise DataError(
            text(
                "error.npz_keys",
                "{path} holds {found}; needed are x and y, or x_train and y_train (and x_val, y_val, x_test, y_test).",
                path=str(path),
                found=sorted(arrays),
            )
        )
    return parts
