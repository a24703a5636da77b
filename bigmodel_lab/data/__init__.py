"""What models are trained on: data sets by name, files, and arrays of one's own.

``base.py`` is the contract; every file without a leading underscore is a data set by name.
"""

from __future__ import annotations

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data._batches import Batches, epoch_order
from bigmodel_lab.data._checks import check_not_empty, suit_model
from bigmodel_lab.data._family import DATASETS
from bigmodel_lab.data._load import load_data
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split, TaskKind

__all__ = [
    "DATASETS",
    "Batches",
    "Data",
    "DatasetCard",
    "Division",
    "Split",
    "TaskKind",
    "check_not_empty",
    "epoch_order",
    "from_arrays",
    "load_data",
    "suit_model",
]
