"""The two samples by which the documents work through one step of training, by hand.

Source: D1 §4.3 (and D4 §4.3, which uses a network of the same shape): X = [[1, 0, 1], [1, 1, 0]], y = [0, 1].
Two samples are an example to calculate, not data to learn from: there is nothing to validate or test with.
"""

from __future__ import annotations

import torch

from bigmodel_lab.data.base import Data, DatasetCard, Division, Split
from bigmodel_lab.i18n import Text


def load(division: Division) -> Data:
    """Both samples for training; validation and test are empty, whatever the division says.

    >>> load(Division()).train.x.tolist()
    [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    del division  # two samples are not divided
    train = Split(torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]), torch.tensor([0, 1]))
    empty = train.select(torch.arange(0))
    return Data("example_342", str(DATASET.meaning), train, empty, empty, scale=None, classes=2)


DATASET = DatasetCard(
    name="example_342",
    load=load,
    meaning=Text(
        "data.example_342.meaning",
        "The two samples of three numbers of D1 §4.3, to follow one step of training by hand.",
    ),
)
