"""The part of the measured grid that every kind of estimator can be asked about.

Left out are convolutions in fp32 and recurrent layers, whose workspaces an emulated card does not know; number formats and
optimizers that no other tool has a word for; and whatever is measured only to see the allocator at work.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmarks.gpu.cases import Case, grid
from benchmarks.gpu.shapes import BERT, GPT, MLP, ViT
from benchmarks.measured.program import Program
from benchmarks.measured.t4 import keeping

_SPOKEN_OF = ("sgd", "adam", "adamw")
_FORMATS = ("fp32", "bf16")


def cases() -> tuple[Case, ...]:
    """In the order of the grid."""
    return tuple(case for case in grid() if _is_asked(case))


def programs() -> tuple[Program, ...]:
    """One for each of :func:`cases`."""
    return tuple(map(program_of, cases()))


def program_of(case: Case) -> Program:
    """What any estimator is told of a case.

    Args:
        case: Of the grid.
    """
    subject: Any = case.subject
    return Program(
        case.name,
        subject.build,
        partial(subject.batch, case.micro_batch_size),
        partial(_loss, subject.objective.loss),
        case.micro_batch_size,
        getattr(subject, "length", None),
        getattr(subject, "image", None),
        autocast=case.precision,
        optimizer=case.rule.optimizer,
        options=dict(case.rule.options),
        micro_batches=case.micro_batches,
        checkpointing=getattr(subject, "checkpointing", False),
    )


def _is_asked(case: Case) -> bool:
    plain = case.rule.name in _SPOKEN_OF and case.precision in _FORMATS and not case.traced
    patches_in_16_bits = isinstance(case.subject, ViT) and case.precision == "bf16"
    return plain and (patches_in_16_bits or isinstance(case.subject, (GPT, BERT, MLP)))


def _loss(loss: Any, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, y = batch
    output = model(x)
    return keeping(loss(output, y), output)
