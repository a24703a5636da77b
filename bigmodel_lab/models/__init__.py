"""The family of documented models: one file a model, read top to bottom; see :mod:`.base`."""

from __future__ import annotations

from bigmodel_lab._family import Family
from bigmodel_lab.models.base import Defaults, HandWritten, ModelCard

MODELS: Family[ModelCard] = Family("bigmodel_lab.models", "model", "MODEL")
"""Every documented model by name."""

__all__ = ["MODELS", "Defaults", "HandWritten", "ModelCard"]
