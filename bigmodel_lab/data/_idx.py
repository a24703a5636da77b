"""IDX files, the format of MNIST and its relatives, plain or with ``.gz``."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Images and labels of each split, as the original files are called."""
_UINT8 = 8  # the format's code for unsigned bytes


def find(folder: Path, name: str) -> Path | None:
    """The file with this name in the folder or its ``raw`` folder, however it is spelt; None if there is none.

    Some copies write ``train-images.idx3-ubyte``, torchvision writes into ``MNIST/raw``.
    """
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):
        for spelling in (name, name.replace("-idx", ".idx")):
            for path in (place / spelling, place / f"{spelling}.gz"):
                if path.is_file():
                    return path
    return None


def holds_idx(folder: Path) -> bool:
    """The folder has the training images of a data set in this format."""
    return find(folder, NAMES["train"][0]) is not None


def read_split(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and labels of ``"train"`` or ``"test"``.

    Raises:
        DataError: A file is missing or broken; names the folder and what was looked for.
    """
    images, labels = (_read_named(folder, name) for name in NAMES[split])
    return images, labels


def _read_named(folder: Path, name: str) -> NDArray[np.uint8]:
    path = find(folder, name)
    if path is None:
        raise DataError(
            text(
                "error.idx_missing",
                "{folder} has no file {name!r} (nor with .gz, nor in raw/). It must hold the four files {all}.",
                folder=str(folder),
                name=name,
                all=", ".join(n for pair in NAMES.values() for n in pair),
            )
        )
    return read_idx(path)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in one IDX file of unsigned bytes.

    Raises:
        DataError: The file is cut off, or not of this format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            text("error.idx_unreadable", "{path} cannot be read: {error}", path=str(path), error=error)
        ) from error
    dimensions = content[3] if content[:3] == bytes((0, 0, _UINT8)) and len(content) > 3 else 0
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    expected = header + prod(shape)
    if dimensions == 0 or len(content) != expected:
        raise DataError(
            text(
                "error.idx_broken",
                "{path} is not a whole IDX file of bytes: it has {found} bytes and begins with {head}. "
                "Expected are 0, 0, 8, the number of dimensions, their sizes, and then the data. "
                "Was the download cut off?",
                path=str(path),
                found=len(content),
                head=list(content[:4]),
            )
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
