"""The digits as something to be given back: what is learned from an image is the image.

For models such as ``autoencoder``. The labels stay, so that people can tell the images apart; no model
sees them. Any other images become such data by
``dataclasses.replace(load_data("mnist"), task="reconstruction")``.
"""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.data import digits
from bigmodel_lab.data.base import Data, DatasetCard, Division
from bigmodel_lab.i18n import Text


def load(division: Division) -> Data:
    """The images of ``digits``, divided in the same way.

    Raises:
        MissingPackageError: scikit-learn, which carries them, is not installed.
    """
    images = digits.load(division)
    return replace(images, name=DATASET.name, description=str(DATASET.meaning), task="reconstruction")


DATASET = DatasetCard(
    name="digits_reconstruction",
    load=load,
    meaning=Text(
        "data.digits_reconstruction.meaning",
        "The 1797 handwritten digits of scikit-learn, where what is to be learned from an image is the image itself.",
    ),
)
