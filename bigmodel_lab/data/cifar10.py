"""CIFAR-10: 60,000 colour photographs of 32×32 pixels in ten classes, from a folder or from Hugging Face.

50,000 training images (5,000 a class) and 10,000 test images (1,000 a class); A. Krizhevsky, "Learning Multiple Layers
of Features from Tiny Images", 2009. The test images are kept as they are; validation images are
taken from the training images.

Source: D1 §5.2. What D1 has wrong: its §5.3.1 counts 6,000 training images a class (6,000 are training and test together);
its line that divides the pixels by 255 is garbled; and ``tfds.load`` returns data sets, not the four arrays that it unpacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data._hub import load_hub
from bigmodel_lab.data._safe_pickle import read_arrays
from bigmodel_lab.data.base import Data, DatasetCard, Division
from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import Text, text

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The ten classes, in the order of their numbers."""
Pixels = NDArray[np.uint8]

_HUB_NAME = "uoft-cs/cifar10"
_IMAGE = (3, 32, 32)  # red, green and blue planes, row by row, as the files hold them
_VALUES = 3 * 32 * 32
_FILES = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
_PLACES = (".", "cifar-10-batches-py", "cifar-10-batches-bin")


def load(division: Division) -> Data:
    """CIFAR-10 through the Hugging Face ``datasets`` library, which downloads it once.

    Raises:
        MissingPackageError: The library is not installed.
        DataError: It could not get the data; names what was asked for and the other way.
    """
    otherwise = text(
        "data.cifar10.otherwise",
        "Without a network, give a folder with the files of cs.toronto.edu/~kriz/cifar.html instead: "
        "load_data('path/to/folder'); or train on the embedded 'drawn_shapes', which has the same shape.",
    )
    hub = load_hub(_HUB_NAME, purpose=text("data.cifar10.purpose", "download CIFAR-10"), otherwise=otherwise)
    parts = {name: _hub_split(hub[name]) for name in _FILES}
    return _as_data(parts, "cifar10", str(DATASET.meaning), division)


def holds_cifar10(folder: Path) -> bool:
    """The folder has the first training file of CIFAR-10, in the Python or the binary version."""
    return _find(folder, _FILES["train"][0]) is not None


def load_folder(path: Path, division: Division) -> Data:
    """CIFAR-10 from a folder with the six files of its Python version or its binary version.

    Args:
        path: The folder itself, or the one in which the archive was unpacked.
        division: How validation images are taken from the training images.

    Raises:
        DataError: A file is missing, broken or holds anything but such images; names it.
    """
    parts = {name: _read_split(path, files) for name, files in _FILES.items()}
    description = text("data.cifar10.folder", "Images in CIFAR-10's format from {folder}.", folder=str(path))
    return _as_data(parts, path.name, description, division)


def _as_data(parts: dict[str, tuple[Any, Any]], name: str, description: str, division: Division) -> Data:
    return from_arrays(parts, name=name, description=description, division=division, class_names=CLASS_NAMES)


def _hub_split(split: Any) -> tuple[Any, Any]:
    images = np.stack([np.asarray(image, np.uint8) for image in split["img"]])
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), np.asarray(split["label"], np.int64)  # (N, 3, 32, 32)


def _find(folder: Path, name: str) -> Path | None:
    """The file with this name, of either version; None if there is none."""
    spelt = (folder / place / f"{name}{suffix}" for place in _PLACES for suffix in ("", ".bin"))
    return next((path for path in spelt if path.is_file()), None)


def _read_split(folder: Path, names: tuple[str, ...]) -> tuple[Pixels, NDArray[np.int64]]:
    read = [_read_file(_existing(folder, name)) for name in names]
    return np.concatenate([x for x, _ in read]), np.concatenate([y for _, y in read])


def _existing(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise DataError(
            text(
                "error.cifar10_missing",
                "{folder} {what} {name!r} (nor {name}.bin, nor in cifar-10-batches-py or -bin). CIFAR-10 is the "
                "files data_batch_1 … data_batch_5 and test_batch.",
                folder=str(folder),
                what="has no file" if folder.is_dir() else "is no folder with",
                name=name,
            )
        )
    return path


def _read_file(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of one file of either version."""
    x, y = _read_binary(path) if path.suffix == ".bin" else _read_pickle(path)
    if len(x) != len(y) or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(CLASS_NAMES)):
        raise _not_cifar(path, f"{len(x)} images, {len(y)} labels")
    return x.reshape(-1, *_IMAGE), y


def _read_binary(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """One byte for the label, then the pixels, image after image."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if len(content) == 0 or len(content) % (1 + _VALUES):
        raise _not_cifar(path, f"{len(content)} bytes")
    images = content.reshape(-1, 1 + _VALUES)
    return images[:, 1:].copy(), images[:, 0].astype(np.int64)


def _read_pickle(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    batch = read_arrays(path)
    if not isinstance(batch, Mapping):
        raise _not_cifar(path, type(batch).__name__)
    named = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    pixels, labels = named.get("data"), named.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_VALUES,):
        raise _not_cifar(path, f"'data' of {getattr(pixels, 'shape', pixels)!r}")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise _not_cifar(path, f"'labels' of {type(labels).__name__}")
    return pixels, np.asarray(labels, np.int64)


def _not_cifar(path: Path, found: str) -> DataError:
    return DataError(
        text(
            "error.cifar10_broken",
            "{path} is not a whole file of CIFAR-10: it holds {found}. Expected are images of 3·32·32 bytes, each with "
            "a label 0 … 9. Was the download cut off, or is it CIFAR-100?",
            path=str(path),
            found=found,
        )
    )


DATASET = DatasetCard(
    name="cifar10",
    load=load,
    meaning=Text(
        "data.cifar10.meaning",
        "CIFAR-10: 50,000 training images (5,000 a class) and 10,000 test images, colour photographs of 32×32 pixels.",
    ),
)
