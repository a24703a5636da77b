"""``freeze`` and ``unfreeze``: transfer learning, for any model."""

from __future__ import annotations

from bigmodel_lab.training.freezing import freeze, unfreeze

__all__ = ["freeze", "unfreeze"]
