"""cuBLAS reads matrices whose rows or columns lie together; any other operand of a product is copied first.

So is the gradient of a plain sum, which is one number for all elements.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Target

_LABEL = "operand whose rows lie together"


def _of_two(call: Call, _target: Target) -> Iterable[Extra]:
    yield from _copies(*call.args[:2])


def _of_three(call: Call, _target: Target) -> Iterable[Extra]:
    """The first is added, and any layout will do."""
    yield from _copies(*call.args[1:3])


def _copies(*operands: Tensor) -> Iterable[Extra]:
    for operand in operands:
        if operand.numel() and not is_readable(operand):
            yield Extra(operand.numel() * operand.element_size(), _LABEL)


def is_readable(matrix: Tensor) -> bool:
    """CuBLAS reads it as it is.

    Args:
        matrix: Of two dimensions, or a batch of such.

    >>> import torch
    >>> x = torch.empty(6, 4, device="meta")
    >>> is_readable(x), is_readable(x.t()), is_readable(x[:, ::2]), is_readable(x[0].expand(6, 4))
    (True, True, False, False)
    """
    rows, columns = matrix.shape[-2:]
    down, across = matrix.stride()[-2:]
    return (across == 1 and down >= max(1, columns)) or (down == 1 and across >= max(1, rows))


RULE = Rule(
    name="matrix_copies",
    meaning=Text("rule.matrix_copies", "A product copies an operand whose rows do not lie together."),
    source="pytorch aten/src/ATen/native/cuda/Blas.cpp, prepare_matrix_for_cublas and prepare_batch_matrix_for_cublas",
    operations={
        "aten.mm": _of_two,
        "aten.bmm": _of_two,
        "aten.addmm": _of_three,
        "aten.baddbmm": _of_three,
    },
)
