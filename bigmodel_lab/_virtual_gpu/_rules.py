"""Where a storage takes another number of bytes on CUDA than on a CPU.

What kernels of CUDA need beside their outputs lies in :mod:`bigmodel_lab.trace.cuda_rules`, which the
estimate uses too. Here are only the rules that must be known when a real storage is charged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, UntypedStorage

MASK_MADE = torch.ops.aten.empty_like.default
"""Makes the mask of a dropout on a CPU, before anything tells that it is one."""
MASK_FILLED = torch.ops.aten.bernoulli_.float
"""The next operation then fills it with zeros and ones."""
_NEW_FROM_PYTHON = torch.ops.aten.lift_fresh.default


def charged_bytes(func: Any, tensor: Tensor, storage: UntypedStorage) -> int:
    """Bytes that CUDA's allocator would be asked for; 0 where the tensor would lie on the host.

    * The mask of a dropout is one byte an element: pytorch ``aten/src/ATen/native/cuda/Dropout.cu``,
      ``native_dropout_cuda``.
    * A number that Python makes a tensor of, ``torch.tensor(0.0)``, is not on the card, as the count of steps that
      optimizers keep: pytorch ``torch/optim/adam.py``, note on the device of ``step``.

    Args:
        func: Operation that made the tensor, fills it, or saw it first.
        tensor: The tensor.
        storage: Its storage, on the CPU.

    >>> mask = torch.empty(100)
    >>> charged_bytes(MASK_FILLED, mask, mask.untyped_storage())
    100
    """
    if func is MASK_FILLED:
        return tensor.numel()
    if func is _NEW_FROM_PYTHON and tensor.dim() == 0:
        return 0
    return storage.nbytes()
