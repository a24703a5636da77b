"""Every setting of a training run, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import Defaults
from bigmodel_lab.training.optimizers import check_optimizer

PrecisionName = Literal["fp32", "tf32", "bf16", "fp16"]
"""Number formats of the forward pass."""
_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; never changed, only replaced.

    Raises:
        ConfigError: A setting cannot be used; says what is allowed.
        UnknownNameError: There is no such optimizer.

    >>> TrainConfig(epochs=3, learning_rate=0.01).effective_batch_size
    64
    """

    epochs: int = 10
    """Passes over the training data, from 1."""
    micro_batch_size: int = 64
    """Samples in one forward and backward pass, from 1."""
    gradient_accumulation_steps: int = 1
    """Micro-batches whose gradients are added before the optimizer makes its step, from 1."""
    optimizer: str = "adam"
    """Class name in ``torch.optim``, lower case."""
    learning_rate: float = 1e-3
    """Step width of the optimizer, above 0."""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the optimizer, e.g. ``{"momentum": 0.9}``."""
    precision: PrecisionName = "fp32"
    """Number format of the forward pass, where the device has it."""
    seed: int = 0
    """Fixes the weights, the order of the samples and dropout, from 0."""
    device: str = "auto"
    """What was asked for: ``"auto"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"``."""
    max_steps: int | None = None
    """Ends the run after this many optimizer steps; None makes all epochs."""
    validation_fraction: float = 0.1
    """Share of the training samples kept for validation, from 0 to below 1."""
    test_fraction: float = 0.1
    """Share of undivided samples kept for the test at the end, from 0 to below 1."""

    def __post_init__(self) -> None:
        for name in ("epochs", "micro_batch_size", "gradient_accumulation_steps"):
            self._need_whole(name, 1)
        self._need_whole("seed", 0, _LARGEST_SEED)
        if self.max_steps is not None:
            self._need_whole("max_steps", 1)
        self._need_number("learning_rate", "a number above 0, such as 0.001", lambda x: x > 0)
        for name in ("validation_fraction", "test_fraction"):
            self._need_number(name, "a share from 0 (none) to below 1, such as 0.1", lambda x: 0 <= x < 1)
        if self.precision not in get_args(PrecisionName):
            raise _wrong("precision", self.precision, " | ".join(get_args(PrecisionName)))
        if not isinstance(self.device, str) or not self.device:
            raise _wrong("device", self.device, "auto | cuda | cuda:1 | mps | cpu")
        check_optimizer(self.optimizer)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], defaults: Defaults | None = None) -> TrainConfig:
        """Settings over those that a model documents, over the general ones.

        Args:
            settings: What the person gave, by field name.
            defaults: ``ModelCard.defaults``; None for a model of one's own.

        Raises:
            UnknownNameError: There is no such setting; suggests the nearest.
            ConfigError: A setting cannot be used.

        >>> from bigmodel_lab.models import MODELS
        >>> TrainConfig.from_settings({"epochs": 2}, MODELS.get("mnist_cnn").defaults).micro_batch_size
        32
        """
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise UnknownNameError(text("config.kind", "setting"), name, known)
        return cls(**{**(asdict(defaults) if defaults else {}), **settings})

    @property
    def effective_batch_size(self) -> int:
        """Samples behind one optimizer step."""
        return self.micro_batch_size * self.gradient_accumulation_steps

    @property
    def facts(self) -> dict[str, Any]:
        """All settings as values of JSON, for the header of a run."""
        return {**asdict(self), "optimizer_options": {k: _plain(v) for k, v in self.optimizer_options.items()}}

    def _need_whole(self, name: str, least: int, most: int | None = None) -> None:
        value = getattr(self, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            upper = f" … {most}" if most is not None else ""
            raise _wrong(
                name, value, text("config.whole", "a whole number from {least}{upper}", least=least, upper=upper)
            )

    def _need_number(self, name: str, allowed: str, holds: Any) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not holds(value):
            raise _wrong(name, value, text(f"config.{name}", allowed))


def _wrong(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(
        text(
            "error.setting",
            "{name} is {value!r}, but must be: {allowed}.",
            name=name,
            value=value,
            allowed=allowed,
        )
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
