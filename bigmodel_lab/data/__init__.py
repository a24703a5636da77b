"""What models are trained on: data sets by name, files, and arrays of one's own.

``base.py`` is the contract; every file without a leading underscore is a data set by name.
"""

from __future__ import annotations

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data._batches import Batches, epoch_order
from bigmodel_lab.data._checks import check_not_empty, suit_model
from bigmodel_lab.data._family import DATASETS
from bigmodel_lab.data._folds import folds_of
from bigmodel_lab.data._load import load_data
from bigmodel_lab.data._report import examine
from bigmodel_lab.data._report_facts import DataFacts
from bigmodel_lab.data._tokens import Tokenizer
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split, TaskKind

__all__ = [
    "DATASETS",
    "Batches",
    "Data",
    "DataFacts",
    "DatasetCard",
    "Division",
    "Split",
    "TaskKind",
    "Tokenizer",
    "check_not_empty",
    "epoch_order",
    "examine",
    "folds_of",
    "from_arrays",
    "load_data",
    "suit_model",
]
