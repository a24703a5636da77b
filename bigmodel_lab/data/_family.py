"""The family of data sets, apart from the package so that its own modules can ask for it."""

from __future__ import annotations

from bigmodel_lab._family import Family
from bigmodel_lab.data.base import DatasetCard

DATASETS: Family[DatasetCard] = Family("bigmodel_lab.data", "data set", "DATASET")
"""Every data set that has a name."""
