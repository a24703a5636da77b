"""AG News: 127,600 news in four topics, through Hugging Face.

Title and first sentences of news (X. Zhang, J. Zhao, Y. LeCun 2015, "Character-level Convolutional Networks for Text
Classification"): 120,000 for training, 7,600 for the test, every topic equally often.
"""

from __future__ import annotations

from bigmodel_lab.data._hub_text import load_hub_text
from bigmodel_lab.data.base import Data, DatasetCard, Division
from bigmodel_lab.i18n import Text

CLASS_NAMES = ("world", "sports", "business", "science and technology")
"""What the labels 0 … 3 mean."""
LENGTH = 64
"""Words of a row."""


def load(division: Division) -> Data:
    """The news; the test news are kept as they are.

    Raises:
        MissingPackageError: The library ``datasets`` is not installed.
        DataError: The data could not be got.
    """
    return load_hub_text("fancyzhx/ag_news", DATASET, division, CLASS_NAMES, length=LENGTH)


DATASET = DatasetCard(
    name="ag_news",
    load=load,
    meaning=Text("data.ag_news.meaning", "AG News: 120,000 training and 7,600 test news in four topics."),
)
