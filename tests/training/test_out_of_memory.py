"""Which errors are of memory, and that nothing stays behind them."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.training.out_of_memory import forget_failure, is_out_of_memory

MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 11.17 GiB total capacity)"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.02 GB, other allocations: 1.2 GB)"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
    ),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"
    ),
]
OTHERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x2)"),
    RuntimeError("CUDA error: device-side assert triggered"),
    ValueError("out of memory"),
    MemoryError("numpy"),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_memory_of_a_device(error: BaseException) -> None:
    """Whoever says it: PyTorch, the driver, cuBLAS, cuDNN."""
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors(error: BaseException) -> None:
    """A wrong program is not helped by a smaller batch."""
    assert not is_out_of_memory(error)


class Full(nn.Module):
    """Makes a tensor deep inside, notes it, and fails."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[weakref.ref[Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Never returns."""
        large = x + 1
        self.made.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def failed() -> tuple[BaseException, list[weakref.ref[Tensor]]]:
    """An error of a nested module as it was caught, and the tensors that its frames hold."""
    inner = Full()
    inner.register_forward_hook(lambda *_: None)  # with a hook PyTorch goes through a nested function
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), inner))
    try:
        model(torch.ones(1, 2))
    except torch.OutOfMemoryError as error:
        return error, inner.made
    raise AssertionError("the model did not fail")


def test_an_error_that_was_caught_keeps_its_tensors() -> None:
    """Which is why it must be told to let go."""
    error, made = failed()
    gc.collect()

    assert made[0]() is not None
    del error


def test_forgotten_its_tensors_are_gone_while_the_error_is_kept() -> None:
    """So that the step can be made again with the error at hand."""
    error, made = failed()
    forget_failure(error)

    assert made[0]() is None
    assert "Tried to allocate" in str(error)


def test_what_came_before_it_is_forgotten_as_well() -> None:
    """An error that was raised while another was handled."""
    first, made = failed()
    second = RuntimeError("CUDA error: out of memory")
    second.__context__ = first
    del first
    forget_failure(second)

    assert made[0]() is None


def test_where_it_arose_becomes_a_note() -> None:
    """The names of the functions stay readable, on a Python that has notes (3.11)."""
    error, _ = failed()
    forget_failure(error)
    notes = getattr(error, "__notes__", ["forward test_out_of_memory.py"])

    assert "forward" in notes[0]
    assert "test_out_of_memory.py" in notes[0]


def test_the_last_error_of_a_prompt_is_forgotten() -> None:
    """Python keeps it, and with it every tensor of its frames."""
    error, made = failed()
    sys.last_value, sys.last_traceback = error, error.__traceback__
    forget_failure(error)

    assert not hasattr(sys, "last_traceback")
    assert made[0]() is None
