"""Every setting of a training run, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
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
    need_switch,
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
OnOom = Literal["auto", "ask", "raise", "shrink"]
"""What happens when a step does not fit into the card's memory."""
_MAPPINGS = ("optimizer_options", "model_options", "schedule_options", "augment")
_SWITCHES = ("activation_offload", "channels_last", "compile", "expandable_segments")
_NAMES = ("freeze", "activation_checkpointing")
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
    samples_per_step: int | None = None
    """Samples behind one optimizer step where micro-batches do not divide them evenly, so that the last is smaller;
    None is ``micro_batch_size * gradient_accumulation_steps``. :meth:`with_micro_batch` sets it."""
    evaluation_batch_size: int | None = None
    """Samples computed at once in validation and test, from 1; None is ``micro_batch_size``."""
    activation_checkpointing: tuple[str, ...] = ()
    """Modules, by dotted name, whose activations are computed again in the backward pass and not kept; ``("*",)`` is
    every block that the model repeats."""
    activation_offload: bool = False
    """What the backward pass needs waits in main memory."""
    channels_last: bool = False
    """Images and weights of convolutions lie channel by channel in memory, as tensor cores read them."""
    compile: bool = False
    """The model is compiled by ``torch.compile``; weights keep their names."""
    expandable_segments: bool = False
    """CUDA's caching allocator grows its segments, so that less of them lies idle."""
    memory_fraction: float | None = None
    """Most of the card that PyTorch may take, above 0 to 1; None is all of it."""
    on_oom: OnOom = "auto"
    """When a step does not fit into the card's memory: ``"ask"`` holds it and shows what would help, ``"raise"`` ends
    the run, ``"shrink"`` halves the micro-batch and accumulates twice as many; ``"auto"`` asks where buttons are
    heard and raises elsewhere."""

    def __post_init__(self) -> None:
        for name in ("epochs", "micro_batch_size", "gradient_accumulation_steps"):
            need_whole(name, getattr(self, name), 1)
        for name in ("max_steps", "early_stopping", "evaluation_batch_size"):
            if getattr(self, name) is not None:
                need_whole(name, getattr(self, name), 1)
        need_whole("seed", self.seed, 0, _LARGEST_SEED)
        need_whole("warmup_steps", self.warmup_steps, 0)
        self._check_numbers()
        need_choice("precision", self.precision, get_args(PrecisionName))
        need_choice("checkpoint", self.checkpoint, get_args(Kept))
        need_choice("on_oom", self.on_oom, get_args(OnOom))
        if not isinstance(self.device, str) or not self.device:
            raise wrong("device", self.device, "auto | cuda | cuda:1 | mps | cpu | virtual:T4")
        for name in _MAPPINGS:
            need_mapping(name, getattr(self, name))
        for name in _NAMES:
            need_names(name, getattr(self, name))
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list comes from JSON
        self._check_samples_per_step()
        for name in _SWITCHES:
            need_switch(name, getattr(self, name))
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
        return self.samples_per_step or self.micro_batch_size * self.gradient_accumulation_steps

    def with_micro_batch(self, size: int) -> TrainConfig:
        """The same settings with another micro-batch, and the same samples behind each optimizer step.

        Args:
            size: Samples in one forward and backward pass, from 1; more than a step has are cut down to them.

        >>> smaller = TrainConfig(micro_batch_size=64).with_micro_batch(24)
        >>> smaller.micro_batch_size, smaller.gradient_accumulation_steps, smaller.effective_batch_size
        (24, 3, 64)
        """
        whole = self.effective_batch_size
        size = min(size, whole)
        count = -(-whole // size)
        rest = None if size * count == whole else whole
        return replace(self, micro_batch_size=size, gradient_accumulation_steps=count, samples_per_step=rest)

    @property
    def facts(self) -> dict[str, Any]:
        """All settings as values of JSON, for the header of a run."""
        plain = {name: {k: _plain(v) for k, v in getattr(self, name).items()} for name in _MAPPINGS}
        return {**asdict(self), **plain, **{name: list(getattr(self, name)) for name in _NAMES}}

    def _check_numbers(self) -> None:
        need_number("learning_rate", self.learning_rate, "a number above 0, such as 0.001", lambda x: x > 0)
        for name in ("validation_fraction", "test_fraction"):
            need_number(name, getattr(self, name), SHARE, is_share)
        for name in ("l1", "l2"):
            need_number(name, getattr(self, name), "a number from 0 (none), such as 0.0001", not_negative)
        if self.dropout is not None:
            need_number("dropout", self.dropout, SHARE, is_share)
        if self.memory_fraction is not None:
            need_number("memory_fraction", self.memory_fraction, "a share above 0, to 1", lambda x: 0 < x <= 1)

    def _check_samples_per_step(self) -> None:
        """The last micro-batch may be smaller, but neither empty nor the only one that is not."""
        if self.samples_per_step is None:
            return
        most = self.micro_batch_size * self.gradient_accumulation_steps
        need_whole("samples_per_step", self.samples_per_step, most - self.micro_batch_size + 1, most)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
