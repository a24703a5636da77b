"""Do these settings suit this model, this data and this number format? Asked before a run begins."""

from __future__ import annotations

from torch import nn

from bigmodel_lab.data import Data
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import HandWritten
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.dropout import check_dropout
from bigmodel_lab.training.precision import Precision


def check_settings(config: TrainConfig, model: nn.Module, data: Data, precision: Precision) -> None:
    """Refuse what could only go wrong later.

    Args:
        config: The settings.
        model: What is trained.
        data: What on.
        precision: The number format that was chosen.

    Raises:
        ConfigError: A setting cannot be used here.
    """
    if isinstance(model, HandWritten):
        _check_by_hand(config, model, precision)
    if config.dropout is not None:
        check_dropout(model)
    if not len(data.validation):
        _check_without_validation(config, data)
    if config.optimizer == "lbfgs" and precision.name == "fp16":
        raise ConfigError(
            text(
                "error.lbfgs_fp16",
                "The optimizer 'lbfgs' computes the loss several times a step, which the gradient scaler of fp16 "
                "cannot follow. Take precision='bf16' or 'fp32', or another optimizer.",
            )
        )


def check_single_sample(config: TrainConfig, samples: int, layer: str | None) -> None:
    """Refuse a run in which a micro-batch of one sample would meet a layer that needs two.

    Args:
        config: The settings.
        samples: Training samples.
        layer: Name of a batch normalization that has one value a channel from each sample; None where there is none.

    Raises:
        ConfigError: There is such a micro-batch; says which size leaves none.

    >>> check_single_sample(TrainConfig(micro_batch_size=16), 80, "norm")
    """
    size = config.micro_batch_size
    steps = -(-samples // config.effective_batch_size)
    reached = size == 1 or config.max_steps is None or config.max_steps >= steps
    if layer is None or not reached or not _leaves_one(samples, size):
        return
    raise ConfigError(
        text(
            "error.single_sample",
            "The batch normalization {layer!r} needs at least 2 samples at once, but {samples} training samples in "
            "micro-batches of {size} leave one alone. {advice}",
            layer=layer,
            samples=samples,
            size=size,
            advice=_other_size(samples, size),
        )
    )


def _leaves_one(samples: int, size: int) -> bool:
    return size == 1 or samples % size == 1


def _other_size(samples: int, size: int) -> str:
    """The nearest micro-batch size that leaves no sample alone."""
    if samples == 1:
        return text("single_sample.more", "Give more training samples.")
    fitting = (n for n in range(2, samples + 1) if not _leaves_one(samples, n))
    nearest = min(fitting, key=lambda n: abs(n - size))
    return text("single_sample.size", "Take micro_batch_size={size}.", size=nearest)


def _check_by_hand(config: TrainConfig, model: nn.Module, precision: Precision) -> None:
    """Its gradients are formulas that know nothing of what settings add, nor of autocast and its scaler."""
    if precision.name in {"bf16", "fp16"}:
        raise ConfigError(
            text(
                "error.by_hand_precision",
                "{model} computes its gradients by hand, in full precision; precision is {precision!r}. Take "
                "precision='fp32'.",
                model=type(model).__name__,
                precision=precision.name,
            )
        )
    for name in ("l1", "l2", "dropout"):
        if getattr(config, name):
            raise ConfigError(
                text(
                    "error.by_hand",
                    "{name} needs autograd, but {model} computes its gradients by hand. Leave {name} out, or train "
                    "another model.",
                    name=name,
                    model=type(model).__name__,
                )
            )


def _check_without_validation(config: TrainConfig, data: Data) -> None:
    wishes = {
        "early_stopping": config.early_stopping is not None,
        "schedule='plateau'": config.schedule == "plateau",
    }
    for name, wished in wishes.items():
        if wished:
            raise ConfigError(
                text(
                    "error.needs_validation",
                    "{name} looks at the validation loss, but {data} has 0 validation samples. Keep some of the "
                    "training samples back: validation_fraction=0.1.",
                    name=name,
                    data=data.name,
                )
            )
