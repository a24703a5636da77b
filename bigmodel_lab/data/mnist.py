"""MNIST: 70,000 handwritten digits, from a folder of IDX files or from Hugging Face.

60,000 training and 10,000 test images of 28×28 pixels (LeCun, Cortes, Burges). The test
images are kept as they are; validation images are taken from the training images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data._hub import load_hub
from bigmodel_lab.data._idx import read_split
from bigmodel_lab.data.base import Data, DatasetCard, Division
from bigmodel_lab.i18n import Text, text

_HUB_NAME = "ylecun/mnist"


def load(division: Division) -> Data:
    """MNIST through the Hugging Face ``datasets`` library, which downloads it once.

    Raises:
        MissingPackageError: The library is not installed.
        DataError: It could not get the data; names what was asked for and the other way.
    """
    otherwise = text(
        "data.mnist.otherwise",
        "Without a network, give a folder with the four IDX files instead: load_data('path/to/folder').",
    )
    hub = load_hub(_HUB_NAME, purpose=text("data.mnist.purpose", "download MNIST"), otherwise=otherwise)
    parts = {name: _hub_split(hub[name]) for name in ("train", "test")}
    return _as_data(parts, "mnist", str(DATASET.meaning), division)


def load_folder(folder: Path, division: Division) -> Data:
    """A data set in MNIST's format from a folder of IDX files, plain or ``.gz``.

    Raises:
        DataError: One of the four files is missing or broken; names what was looked for.
    """
    parts = {name: read_split(folder, name) for name in ("train", "test")}
    description = text("data.mnist.folder", "Images in MNIST's format from {folder}.", folder=str(folder))
    return _as_data(parts, folder.name, description, division)


def _as_data(parts: dict[str, tuple[Any, Any]], name: str, description: str, division: Division) -> Data:
    with_channel = {key: (x[:, None], y) for key, (x, y) in parts.items()}  # (N, 28, 28) → (N, 1, 28, 28)
    return from_arrays(with_channel, name=name, description=description, division=division)


def _hub_split(split: Any) -> tuple[Any, Any]:
    images = np.stack([np.asarray(image, np.uint8) for image in split["image"]])
    return images, np.asarray(split["label"], np.int64)


DATASET = DatasetCard(
    name="mnist",
    load=load,
    meaning=Text(
        "data.mnist.meaning",
        "MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28 pixels.",
    ),
)
