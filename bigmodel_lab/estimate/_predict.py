"""The one question: what will this step take of a card? Reads what was given, makes a plan, traces it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._batch import samples_in, samples_of, shapes_of
from bigmodel_lab.estimate._estimate import MemoryEstimate, estimate_of, with_what_inference_mode_saves
from bigmodel_lab.estimate._generate import generate_step
from bigmodel_lab.estimate._losses import forward_only, step_of
from bigmodel_lab.estimate._models import resolve_model
from bigmodel_lab.estimate._optimizers import optimizer_of
from bigmodel_lab.estimate._plan import MakeOptimizer, Plan, Step
from bigmodel_lab.estimate._preparation import preparation
from bigmodel_lab.estimate._source import ModelSource
from bigmodel_lab.estimate._training_arguments import read_training_arguments
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card, card
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.trace import Target, untouched
from bigmodel_lab.training.objectives import Objective

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
_PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
Mode = Literal["train", "inference", "generate"]
_MODES = ("train", "inference", "generate")
Grad = Literal["no_grad", "inference_mode"]
_GRADS = ("no_grad", "inference_mode")
_NEW_TOKENS = 128


def estimate_memory(
    model: str | nn.Module | Callable[[], nn.Module] | Any,
    batch: Any = None,
    *,
    step: Step | None = None,
    loss: Callable[[Tensor, Any], Tensor] | None = None,
    optimizer: str | MakeOptimizer | type[torch.optim.Optimizer] | torch.optim.Optimizer | None = None,
    optimizer_options: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
    gpu: str | Card | None = None,
    micro_batch_size: int | None = None,
    gradient_accumulation_steps: int | None = None,
    checkpointing: bool | None = None,
    weights: Any = None,
    adapters: Any = None,
    training_arguments: Any = None,
    mode: Mode = "train",
    grad: Grad | None = None,
    new_tokens: int = _NEW_TOKENS,
    alloc_conf: str = "",
) -> MemoryEstimate:
    """Peak memory of a training step on a card, predicted without one.

    Two optimizer steps are traced on stand-ins without memory and replayed in a simulated CUDA caching
    allocator. Nothing is computed, downloaded or changed: the model may be larger than this machine.

    Args:
        model: A documented model's name, a large model's name, an ``nn.Module``, a function that builds one, a
            configuration of the Transformers library, or a Hub id (its configuration only).
        batch: What one step gets: any tree or object of tensors whose dimension 0 counts the samples, also on the meta device; or a
            loader, whose largest batch counts among those that a look of 1 s sees. Where dimension 0 differs, as of graphs, the
            batch is taken as it is. None takes an example of the named model.
        step: Maps (model, batch) to the loss, alone, in a tuple, or under ``loss``; it may make the backward pass and the
            update itself. None takes the model's own, or ``loss``.
        loss: Maps (output, targets) to the loss of a batch that is a pair (inputs, targets). The output is let go of before the
            backward pass, as in ``loss(model(x), y).backward()``; of a loop that keeps it, let ``step`` return (loss, output).
        optimizer: Name in ``torch.optim``, or of an 8-bit or paged one as Transformers calls it (``"adamw_8bit"``,
            ``"paged_adamw_8bit"``, …), a class of ``torch.optim``, an optimizer over the model's weights, or a function of the model
            that makes one; None is the documented one, else AdamW.
        optimizer_options: Keywords of the named optimizer, e.g. ``{"fused": True}``.
        precision: Number format of the forward pass: ``"fp32"``, ``"tf32"``, ``"bf16"``, ``"fp16"``; None is the documented
            one, else fp32. bf16 on a card without it is emulated by PyTorch, which takes more memory than fp16; a note says so.
        gpu: A card's name, e.g. ``"T4"``, or a size such as ``"24GiB"``; None takes an Ampere card without end.
        micro_batch_size: Samples of one forward pass, from 1; None is that of the batch.
        gradient_accumulation_steps: Micro-batches of one optimizer step, from 1; None is 1.
        checkpointing: Activations of repeated blocks are recomputed in the backward pass; None is False.
        weights: How linear layers store their frozen weights: ``"nf4"``, ``"fp4"``, ``"int8"``, or a ``BitsAndBytesConfig``;
            None as the model has them. Sized by bitsandbytes' rules, which needs not be installed.
        adapters: A :class:`Lora` or a PEFT ``LoraConfig``: only the adapters learn; None adds none.
        training_arguments: A Transformers or TRL ``TrainingArguments``; what is given here besides comes first.
        mode: ``"train"``; ``"inference"``: the forward pass alone; ``"generate"``: prompt and decoding with the cache of keys
            and values, for causal models of the Transformers library.
        grad: How the user turns gradients off outside training: ``"no_grad"``, under which autocast keeps a 16-bit copy of every
            weight until it ends, or ``"inference_mode"``, which keeps none. None is ``"no_grad"``, and a note says what
            inference mode saves. What ``step`` itself turns off counts in both cases.
        new_tokens: Tokens to generate for each sample, from 1.
        alloc_conf: Settings of the allocator as in PYTORCH_ALLOC_CONF.

    Raises:
        UnknownNameError: There is no such model, card or optimizer.
        ConfigError: A setting that cannot be used, or a step that only the person can give.
        TraceError: The step does what cannot be followed without data.

    >>> import bigmodel_lab as lab
    >>> estimate = lab.estimate_memory("mlp", gpu="T4")
    >>> estimate.micro_batch_size, estimate.fits().verdict
    (64, 'fits')
    """
    if micro_batch_size is not None:
        _at_least_1("micro_batch_size", micro_batch_size)
    asked = {
        "optimizer": optimizer,
        "optimizer_options": optimizer_options,
        "precision": precision,
        "micro_batch_size": micro_batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "checkpointing": checkpointing,
    }
    source = resolve_model(model)
    settings, missed = _settings(source, training_arguments, asked, documented_batch=batch is None)
    unread: list[str] = []
    shapes = shapes_of(_example(source, settings["micro_batch_size"]) if batch is None else batch, unread.append)
    has_loss = step is not None or loss is not None or mode != "train"
    as_given, counted = _as_given(shapes, settings["micro_batch_size"], has_loss=has_loss)
    chosen = None if gpu is None else card(gpu)
    target = _target(chosen)
    plan = Plan(
        source,
        _step(_one_of("mode", mode, _MODES), new_tokens, lambda: step_of(source, shapes, step, loss), step),
        shapes,
        _at_least_1("micro_batch_size", as_given or settings["micro_batch_size"] or samples_of(shapes)),
        as_given=as_given,
        optimizer=optimizer_of(settings["optimizer"], model, settings["optimizer_options"]),
        optimizer_options=settings["optimizer_options"],
        precision=_one_of("precision", settings["precision"], _PRECISIONS),
        checkpointing=settings["checkpointing"],
        gradient_accumulation_steps=_at_least_1("gradient_accumulation_steps", settings["gradient_accumulation_steps"]),
        replaces_formats=precision is None and training_arguments is None,
        is_training=mode == "train",
        grad=_one_of("grad", grad or "no_grad", _GRADS),
        prepare=preparation(weights, adapters),
        target=target,
        notes=(*missed, *unread, *counted),
    )
    found = estimate_of(plan, chosen, AllocatorSettings.parse(alloc_conf))
    return with_what_inference_mode_saves(found) if mode == "inference" and grad is None else found


_USUAL: dict[str, Any] = {
    "optimizer": "adamw",
    "optimizer_options": {},
    "precision": "fp32",
    "micro_batch_size": None,
    "gradient_accumulation_steps": 1,
    "checkpointing": False,
}


def _settings(
    source: ModelSource, arguments: Any, asked: dict[str, Any], *, documented_batch: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What was asked for comes first, then training arguments, then what goes with the model, then what is usual."""
    read = None if arguments is None else read_training_arguments(arguments)
    documented = {k: v for k, v in source.defaults.items() if documented_batch or k != "micro_batch_size"}
    given = {name: value for name, value in asked.items() if value is not None}
    return {**_USUAL, **documented, **(read.settings if read else {}), **given}, read.not_followed if read else ()


def _as_given(shapes: Any, asked: int | None, *, has_loss: bool) -> tuple[int | None, tuple[str, ...]]:
    """For how many samples a batch counts whose tensors do not tell, with a note; None where they tell."""
    if samples_in(shapes) is not None:
        return None, ()
    if not has_loss and isinstance(shapes, tuple | list):
        samples_of(shapes)  # inputs and targets of the usual loss go together
    count = asked or 1
    note = text(
        "estimate.as_given",
        "The tensors of the batch do not share dimension 0, so it was taken as it is and counts as {count} here; another size needs a "
        "batch of that size.",
        count=count,
    )
    return count, (note,)


def _step(mode: str, new_tokens: int, training: Callable[[], Step | Objective], own: Step | None) -> Step | Objective:
    """Inference and generation need no loss."""
    if mode == "generate":
        return partial(generate_step, new_tokens=new_tokens)
    return training() if mode == "train" else own or forward_only


def _example(source: ModelSource, micro_batch_size: int | None) -> Any:
    if source.example is None:
        raise ConfigError(
            text(
                "error.estimate_no_batch",
                "What does a batch of {model} look like? Give one, real or without memory: "
                "batch=torch.empty(8, 3, 224, 224, device='meta').",
                model=source.name,
            )
        )
    with untouched():
        return source.example(micro_batch_size or 1)


def _target(chosen: Card | None) -> Target:
    return Target() if chosen is None else Target.of(chosen)


def _at_least_1(name: str, value: int) -> int:
    if value < 1:
        raise ConfigError(
            text("error.estimate_count", "{name} is {value}, and it must be at least 1.", name=name, value=value)
        )
    return value


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ConfigError(
            text(
                "error.estimate_choice",
                "{name} is {value!r}; it can be one of {allowed}.",
                name=name,
                value=value,
                allowed=", ".join(allowed),
            )
        )
    return value
