"""What a person gave as the model, in one shape for all kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from bigmodel_lab.training.objectives import Objective


@dataclass(frozen=True)
class ModelSource:
    """A model to estimate, however it was given. Made by ``resolve_model`` in ``_models.py``."""

    name: str
    """For titles: the documented name, the Hub id, or the class."""
    build: Callable[[], nn.Module]
    """The model, on the meta device wherever it can be built there; called once for each trace."""
    loss: Callable[[nn.Module, Any], Tensor] | Objective | None = None
    """Maps (model, batch) to the scalar that backward starts from; or, where a batch is a pair, the objective of
    (output, targets); None where only the person can say."""
    example: Callable[[int], Any] | None = None
    """A batch of this many samples on the meta device; None where only the person can give one."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """``micro_batch_size``, ``optimizer``, ``precision`` that go with it; empty where nothing is documented."""
