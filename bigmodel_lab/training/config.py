"""Every setting of a training run, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import Defaults
from bigmodel_lab.training.augment import check_augment
from bigmodel_lab.training.checks import (
    SHARE,
    is_share,
    need_choice,
    need_mapping,
    need_name,
    need_names,
    need_number,
    need_whole,
    not_negative,
    wrong,
)
from bigmodel_lab.training.optimizers import check_optimizer
from bigmodel_lab.training.schedules import check_schedule

PrecisionName = Literal["fp32", "tf32", "bf16", "fp16"]
"""Number formats of the forward pass."""
Kept = Literal["off", "best", "every_epoch"]
"""Which weights are kept on disk."""
_MAPPINGS = ("optimizer_options", "model_options", "schedule_options", "augment")
_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; never changed, only replaced.

    Raises:
        ConfigError: A setting cannot be used; says what is allowed.
        UnknownNameError: There is no such optimizer, schedule or change of images.

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
    """What was asked for: ``"auto"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"cpu"`` or ``"virtual:T4"``."""
    max_steps: int | None = None
    """Ends the run after this many optimizer steps; None makes all epochs."""
    validation_fraction: float = 0.1
    """Share of the training samples kept for validation, from 0 to below 1."""
    test_fraction: float = 0.1
    """Share of undivided samples kept for the test at the end, from 0 to below 1."""
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of a documented model, e.g. ``{"layers": 4}`` for the transformer."""
    schedule: str = "constant"
    """How the learning rate goes on: constant, linear, cosine, step, multi_step, exponential, one_cycle or plateau;
    see :data:`bigmodel_lab.training.schedules.SCHEDULES`."""
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the schedule in optimizer steps, e.g. ``{"step_size": 500, "gamma": 0.5}``."""
    warmup_steps: int = 0
    """Optimizer steps over which the learning rate rises to its value at first, from 0."""
    l1: float = 0.0
    """Adds ``l1 * sum(|w|)`` over all trainable weights to the loss, from 0."""
    l2: float = 0.0
    """Adds ``l2 * sum(w²)`` over all trainable weights to the loss, from 0."""
    dropout: float | None = None
    """Share of values dropped in training: of every dropout layer of the model, or before its last linear
    layer where it has none; from 0 to below 1. None leaves the model as it is."""
    augment: Mapping[str, float] = field(default_factory=dict)
    """Random changes of training images: ``rotate`` (degrees), ``scale`` (share), ``crop`` (pixels); each the most
    to either side."""
    freeze: tuple[str, ...] = ()
    """Parameters that shall not learn, by name or pattern, e.g. ``("conv*",)``."""
    early_stopping: int | None = None
    """Ends the run after this many epochs without a better validation loss, from 1; None never does."""
    checkpoint: Kept = "off"
    """Which weights are kept on disk beside the run file; each comes with all that :func:`bigmodel_lab.resume` needs."""

    def __post_init__(self) -> None:
        for name in ("epochs", "micro_batch_size", "gradient_accumulation_steps"):
            need_whole(name, getattr(self, name), 1)
        for name in ("max_steps", "early_stopping"):
            if getattr(self, name) is not None:
                need_whole(name, getattr(self, name), 1)
        need_whole("seed", self.seed, 0, _LARGEST_SEED)
        need_whole("warmup_steps", self.warmup_steps, 0)
        self._check_numbers()
        need_choice("precision", self.precision, get_args(PrecisionName))
        need_choice("checkpoint", self.checkpoint, get_args(Kept))
        if not isinstance(self.device, str) or not self.device:
            raise wrong("device", self.device, "auto | cuda | cuda:1 | mps | cpu | virtual:T4")
        for name in _MAPPINGS:
            need_mapping(name, getattr(self, name))
        need_names("freeze", self.freeze)
        object.__setattr__(self, "freeze", tuple(self.freeze))  # a list comes from JSON
        need_name("optimizer", self.optimizer, "adam")
        need_name("schedule", self.schedule, "cosine")
        check_optimizer(self.optimizer)
        check_schedule(self.schedule)
        check_augment(self.augment)

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
        plain = {name: {k: _plain(v) for k, v in getattr(self, name).items()} for name in _MAPPINGS}
        return {**asdict(self), **plain, "freeze": list(self.freeze)}

    def _check_numbers(self) -> None:
        need_number("learning_rate", self.learning_rate, "a number above 0, such as 0.001", lambda x: x > 0)
        for name in ("validation_fraction", "test_fraction"):
            need_number(name, getattr(self, name), SHARE, is_share)
        for name in ("l1", "l2"):
            need_number(name, getattr(self, name), "a number from 0 (none), such as 0.0001", not_negative)
        if self.dropout is not None:
            need_number("dropout", self.dropout, SHARE, is_share)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
