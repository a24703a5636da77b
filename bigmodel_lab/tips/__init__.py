"""Advice that is applied by a click: evidence, predicted effect, measured effect, kept or undone.

>>> "micro_batch_down" in TIPS.names()
True
"""

from __future__ import annotations

from bigmodel_lab._family import Family
from bigmodel_lab.tips.base import Tip

TIPS: Family[Tip] = Family("bigmodel_lab.tips", "tip", "TIP")
"""Every tip by name."""

__all__ = ["TIPS", "Tip"]
