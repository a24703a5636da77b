"""Which errors mean that a device is out of memory, and how to let go of what such an error keeps alive."""

from __future__ import annotations

import gc
import sys
import traceback

import torch

from bigmodel_lab.i18n import text

_SAID = (
    "out of memory",  # CUDA's allocator and driver, HIP, XPU, MPS
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
"""In the messages of errors that have no class of their own: cuBLAS, cuDNN and the driver report so, and
``accelerate`` 1.15 and Lightning 2.6 miss some of them (measured)."""
_FRAMES = 12
"""Calls that the note tells: those of the model and of PyTorch, where the request was made."""
_LAST = ("last_type", "last_value", "last_traceback", "last_exc")
"""Where Python keeps the last error that reached the prompt, and with it every tensor of its frames."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device could not serve a request for memory.

    Args:
        error: As it was caught.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    True
    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    True
    >>> is_out_of_memory(RuntimeError("shape '[2, 3]' is invalid for input of size 5"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def forget_failure(error: BaseException) -> None:
    """Let go of the tensors that an error keeps alive through the frames it passed; the error itself can still be raised.

    Clearing the frames' variables is not enough: PyTorch calls a module through a nested function, and the frame of a
    function keeps what it closes over. So the traceback goes, of this error and of those before it, and of the last error
    that a prompt or a notebook keeps. Where it arose becomes a note of the error, on a Python that has notes (3.11).

    Args:
        error: As it was caught.
    """
    if hasattr(error, "add_note") and error.__traceback__ is not None:
        lines = "".join(traceback.format_tb(error.__traceback__)[-_FRAMES:])
        error.add_note(
            text("out_of_memory.where", "It arose here (the latest call last):\n{lines}", lines=lines.rstrip())
        )
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        before = seen.__cause__ or seen.__context__
        seen.__traceback__ = seen.__cause__ = seen.__context__ = None
        seen = before
    for name in _LAST:
        if getattr(sys, name, None) is not None:
            delattr(sys, name)
    _forget_in_notebook()
    gc.collect()


def _forget_in_notebook() -> None:
    """IPython keeps the last error as well; it is asked only where it runs."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    if shell is not None and hasattr(shell, "_last_traceback"):
        shell._last_traceback = None  # noqa: SLF001 (there is no public name for it)
