"""The family of large models whose memory is estimated: one file a model, by its published configuration; see :mod:`.base`."""

from __future__ import annotations

from bigmodel_lab._family import Family
from bigmodel_lab.subjects.base import Batch, Subject

SUBJECTS: Family[Subject] = Family("bigmodel_lab.subjects", "large model", "SUBJECT")
"""Every large model by name."""

__all__ = ["SUBJECTS", "Batch", "Subject"]
