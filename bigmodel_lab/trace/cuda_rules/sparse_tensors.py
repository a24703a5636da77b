"""A sparse tensor is sorted into new places and values before an optimizer reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._sparse import parts_of, sparse_of
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target

_SORTED = "_is_sorted_already"


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    return {Tensor.coalesce: _coalesced}


def _coalesced(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """As many places as before: nobody knows which come twice. Beside them the order and the first of each place, 8 bytes each."""
    tensor = args[0]
    parts = parts_of(tensor)
    if not parts or getattr(tensor, _SORTED, False):
        return tensor if parts else function(*args, **kwargs)
    indices, values = parts
    order = [torch.empty(indices.shape[1], dtype=torch.int64) for _ in range(2)]
    made = sparse_of(torch.empty_like(indices), torch.empty_like(values), tensor.size())
    del order
    setattr(made, _SORTED, True)
    return made


RULE = Rule(
    name="sparse_tensors",
    meaning=Text(
        "rule.sparse_tensors", "A sparse gradient is sorted into new places and values, as many as before at most."
    ),
    source="aten/src/ATen/native/sparse/cuda/SparseCUDATensor.cu: coalesce_sparse_cuda (newValues, newIndices, origIndices, uniqueOffsets)",
    functions=_functions,
)
