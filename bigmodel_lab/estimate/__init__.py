"""Predicts what a training step takes of a card, before it runs and without a card."""

from __future__ import annotations

from bigmodel_lab.estimate._estimate import MemoryEstimate, Moment
from bigmodel_lab.estimate._loading import LoadingPeak
from bigmodel_lab.estimate._lora import Lora
from bigmodel_lab.estimate._predict import estimate_memory

__all__ = ["LoadingPeak", "Lora", "MemoryEstimate", "Moment", "estimate_memory"]
