"""IMDB: 50,000 film reviews, half of them for and half against, through Hugging Face.

A. Maas and others 2011, "Learning Word Vectors for Sentiment Analysis": 25,000 reviews for training, 25,000 for the test.
"""

from __future__ import annotations

from bigmodel_lab.data._hub_text import load_hub_text
from bigmodel_lab.data.base import Data, DatasetCard, Division
from bigmodel_lab.i18n import Text

CLASS_NAMES = ("negative", "positive")
"""What the labels 0 and 1 mean."""
LENGTH = 256
"""Words of a row; a review has 230 on average, and what goes beyond is cut off."""
_LINE_BREAK = "<br />"


def load(division: Division) -> Data:
    """The reviews without their line breaks in HTML; the test reviews are kept as they are.

    Raises:
        MissingPackageError: The library ``datasets`` is not installed.
        DataError: The data could not be got.
    """
    return load_hub_text("stanfordnlp/imdb", DATASET, division, CLASS_NAMES, length=LENGTH, clean=_without_breaks)


def _without_breaks(review: str) -> str:
    return review.replace(_LINE_BREAK, " ")


DATASET = DatasetCard(
    name="imdb",
    load=load,
    meaning=Text("data.imdb.meaning", "IMDB: 25,000 training and 25,000 test reviews of films, for or against."),
)
