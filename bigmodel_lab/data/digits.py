"""1797 real handwritten digits that come with scikit-learn: no download, no folder.

They are the test set of the UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin,
C. Kaynak, 1998; CC BY 4.0): 8×8 pixels of 17 grey levels, written by 13 people. Here they are
enlarged to 28×28, so that the models for MNIST train on them unchanged.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from bigmodel_lab.data._arrays import PIXEL_SCALE
from bigmodel_lab.data._splits import divide
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split
from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.i18n import Text, text

_BRIGHTEST = 16  # grey levels run 0 … 16


def load(division: Division) -> Data:
    """The digits, divided with every class in proportion.

    Raises:
        MissingPackageError: scikit-learn, which carries them, is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingPackageError(
            "scikit-learn", text("data.digits.purpose", "read the embedded digits"), "train"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(np.asarray(pixels, np.float32)).reshape(-1, 1, 8, 8)
    large = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)  # (1797, 1, 28, 28)
    x = large.mul_(255 / _BRIGHTEST).round_().to(torch.uint8)
    y = torch.from_numpy(np.asarray(labels, np.int64))
    train, validation, test = divide(Split(x, y), division)
    return Data("digits", str(DATASET.meaning), train, validation, test, scale=PIXEL_SCALE, classes=10)


DATASET = DatasetCard(
    name="digits",
    load=load,
    meaning=Text(
        "data.digits.meaning",
        "1797 real handwritten digits of scikit-learn (UCI, CC BY 4.0), enlarged from 8×8 to 28×28 pixels.",
    ),
)
