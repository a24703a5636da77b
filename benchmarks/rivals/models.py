"""The model of a program as its author made it, for tools that look at modules: with its adapters, on the default device."""

from __future__ import annotations

from torch import nn

from benchmarks.measured.program import Program
from benchmarks.measured.t4 import TARGETS


def built(program: Program, *, checkpointing: bool = True) -> nn.Module:
    """Ready to be trained.

    Args:
        program: With weights that a plain module can hold.
        checkpointing: As the program has it; False for tools that have a switch of their own for it.
    """
    model = program.build()
    if program.adapter_rank:
        from bigmodel_lab.estimate import Lora
        from bigmodel_lab.estimate._lora import add_lora

        add_lora(model, Lora(TARGETS, rank=program.adapter_rank))
    if not checkpointing:
        _without_checkpointing(model)
    return model.train(program.is_training)


def _without_checkpointing(model: nn.Module) -> None:
    switch = getattr(model, "activation_checkpointing_disable", None)
    if switch is not None:
        switch()
    elif hasattr(model, "checkpointing"):
        model.checkpointing = False
