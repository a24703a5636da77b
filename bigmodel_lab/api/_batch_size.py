"""``find_batch_size``: the largest micro-batch that runs on a card, found by few real steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bigmodel_lab.api._fit import build, card_of, config_for, fresh, load_for, name_of
from bigmodel_lab.api._own_batch_size import Limits, eager
from bigmodel_lab.api._own_batch_size import find as find_own
from bigmodel_lab.api._trial_place import TrialPlace, finding
from bigmodel_lab.api._virtual_gpu import Place, place_for
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._of_run import estimate_run
from bigmodel_lab.i18n import text
from bigmodel_lab.tips._found_batch_size import FoundBatchSize
from bigmodel_lab.tips._loops import FitLoop, LossStep
from bigmodel_lab.training import LossFunction, TrainConfig
from bigmodel_lab.training.checks import need_whole
from bigmodel_lab.training.freezing import hold_frozen_norms
from bigmodel_lab.training.stepper import Stepper
from bigmodel_lab.training.whole_state import WholeState, untouched
from bigmodel_lab.units import parse_bytes


def find_batch_size(
    model: str | nn.Module,
    data: Any = None,
    *,
    device: str | None = None,
    capacity: int | str | None = None,
    at_most: int | None = None,
    step: LossStep | None = None,
    optimizer: str | torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    gradient_accumulation_steps: int = 1,
    loss: LossFunction | None = None,
    **settings: Any,
) -> FoundBatchSize:
    """The largest micro-batch whose optimizer steps run on a card without running out of memory.

    An estimate says which size to try, and one or two real trials under a memory cap confirm it. Where no estimate is
    possible, two small sizes give a line first. Only a size that really ran is ever the answer. Afterwards model,
    optimizer, scaler, batch statistics, gradients and random numbers are as before, to the bit.

    Two kinds of loops: that of :func:`bigmodel_lab.fit`, with its model, data and settings; and **one's own**, with
    ``step=`` and the optimizer that it uses. A compiled model is tried eagerly, so call this before
    ``torch.compile``, or with what it gave.

    Args:
        model: As for :func:`bigmodel_lab.fit`; of one's own loop, the module.
        data: As for :func:`bigmodel_lab.fit`; of one's own loop, its ``DataLoader``, or one batch: a tree of tensors
            whose dimension 0 counts the samples. Batches of other sizes are made from its longest samples.
        device: As for :func:`bigmodel_lab.fit`, e.g. ``"cuda"`` or ``"virtual:T4"``. None is for ``fit``'s loop the same as
            there; for one's own where the model lies, or the virtual GPU whose ``with`` block this is.
        capacity: Most memory that the steps may take, in bytes or with a unit, e.g. ``"6GiB"``. None is what is free;
            beside other people's processes the larger of 5 % of the card and 1 GiB is left to them.
        at_most: Largest size that is tried, from 1; None is the number of samples of the data, or 65,535.
        step: Of one's own loop: maps (model, batch) to the loss, with autocast where it is used; without ``backward()``.
        optimizer: Of one's own loop, the optimizer; else the class name in ``torch.optim``, lower case.
        scaler: Of one's own loop, its ``GradScaler``; None for none.
        gradient_accumulation_steps: Micro-batches of an optimizer step, from 1. From 2 on each runs beside the
            gradients of those before, which takes more memory.
        loss: As for :func:`bigmodel_lab.fit`.
        settings: Any other field of :class:`~bigmodel_lab.training.TrainConfig`.

    Raises:
        ConfigError: There is no card, so no limit to find; a setting that cannot be used; a step that gives no loss, or
            whose gradients are never finite; or one sample is all that is left to try, and batch norm needs two.
        UnknownNameError: No such model, data set, card or setting.
        DataError: The data cannot be trained on.

    >>> import bigmodel_lab as lab
    >>> found = lab.find_batch_size("simple_cnn", device="virtual:2GiB", capacity="128MiB")
    >>> found.largest in [attempt.size for attempt in found.attempts]
    True

    One's own loop:

    >>> model = torch.nn.Linear(64, 8)
    >>> adam = torch.optim.Adam(model.parameters())
    >>> found = lab.find_batch_size(
    ...     model,
    ...     torch.randn(32, 64),
    ...     step=lambda model, batch: model(batch).square().mean(),
    ...     optimizer=adam,
    ...     device="virtual:2GiB",
    ...     at_most=1000,
    ... )
    >>> found.largest, found.found.out_of_memory, len(adam.state)
    (1000, 0, 0)
    """
    limits = Limits(_bytes(capacity), at_most)
    if at_most is not None:
        need_whole("at_most", at_most, 1)
    need_whole("gradient_accumulation_steps", gradient_accumulation_steps, 1)
    if step is not None or isinstance(optimizer, torch.optim.Optimizer):
        if settings or loss is not None:
            raise _own_settings([*settings, *([] if loss is None else ["loss"])])
        return find_own(
            model,
            data,
            step,
            optimizer,
            scaler=scaler,
            device=device,
            passes=min(2, gradient_accumulation_steps),
            limits=limits,
        )
    given = {"device": device, "optimizer": optimizer}
    chosen = {name: value for name, value in given.items() if value is not None}
    config = config_for(model, {**chosen, **settings})
    config = replace(
        config,
        compile=False,
        gradient_accumulation_steps=min(2, gradient_accumulation_steps),
        samples_per_step=None,
    )
    return _of_fit(model, data, config, loss, limits)


def _of_fit(
    model: str | nn.Module, data: Any, config: TrainConfig, loss: LossFunction | None, limits: Limits
) -> FoundBatchSize:
    place = place_for(config.device, expandable_segments=config.expandable_segments)
    where = TrialPlace.of(place, limits.capacity_bytes, config.memory_fraction)
    loaded = load_for(model, data, config)
    card = card_of(model)
    module = build(card, loaded, config) if card else _within_reach(model, place)
    with untouched(module), place.in_use():
        stepper = Stepper(
            module,
            loaded,
            config,
            device=place.choice,
            loss=loss,
            documented_loss=card.loss if card else None,
            name=name_of(model),
            memory=where.memory,
        )
        place.take(stepper)
        with where.memory.host():
            before = WholeState(module, stepper.optimizer)

        def start_over() -> None:
            with where.memory.host():
                before.restore()
            if not module.training:
                module.train()
            hold_frozen_norms(module)

        with stepper.computing():
            return finding(
                FitLoop(stepper),
                where,
                name=stepper.name,
                at_most=limits.at_most or len(stepper.data.train),
                typical=config.micro_batch_size,
                estimate=lambda chosen: estimate_run(stepper, chosen),
                rest_bytes=where.rest_bytes(module, stepper.optimizer),
                start_over=start_over,
            )


def _within_reach(model: str | nn.Module, place: Place) -> nn.Module:
    """The module itself, eager; a copy where trying would move it to another device."""
    assert isinstance(model, nn.Module)
    module = eager(model)
    kind = torch.device(place.choice.device).type
    elsewhere = any(tensor.device.type != kind for tensor in (*module.parameters(), *module.buffers()))
    chosen = fresh(module) if elsewhere else module
    assert isinstance(chosen, nn.Module)
    return chosen


def _bytes(capacity: int | str | None) -> int | None:
    if isinstance(capacity, str):
        return parse_bytes(capacity)
    if capacity is not None:
        need_whole("capacity", capacity, 1)
    return capacity


def _own_settings(names: list[str]) -> ConfigError:
    return ConfigError(
        text(
            "error.own_loop_settings",
            "With step= the loop is your own, so {names} cannot be set here: put it into step, optimizer or model.",
            names=", ".join(names),
        )
    )
