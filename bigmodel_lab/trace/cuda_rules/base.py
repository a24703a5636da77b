"""The contract of a rule: what CUDA does differently, where that is written, and how to say it in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bigmodel_lab.i18n import Text


@dataclass(frozen=True)
class Target:
    """The card that is traced for.

    >>> Target().capability
    (8, 0)
    """

    capability: tuple[int, int] = (8, 0)
    """Compute capability, (major, minor)."""
    cublas_workspace_bytes: int = 8_519_680
    """What cuBLAS gets for each thread that multiplies matrices; 0 where torch leaves it to cuBLAS."""
    cublaslt_workspace_bytes: int = 0
    """What cuBLASLt gets besides, for each thread that adds a bias in the same kernel; 0 where it shares cuBLAS's."""
    forward_threads: int = 1
    """Threads that have such workspaces while a step runs, beside that of the backward pass: 2 where a run in the
    background was tried out on the main thread first."""


@dataclass(frozen=True)
class Extra:
    """Memory that a kernel asks for beside its outputs."""

    bytes: int
    """As asked for."""
    label: str
    """Shown as its maker, e.g. ``"cuBLAS workspace"``."""
    stays_as: str | None = None
    """None: given back when the operation ends. A name: kept for ever, made once for each name."""


@dataclass(frozen=True)
class Call:
    """One operation that was traced."""

    name: str
    """Without overload, e.g. ``"aten.addmm"``."""
    args: tuple[Any, ...]
    """As called; tensors are stand-ins with shape, strides and type."""
    kwargs: Mapping[str, Any]
    """As called."""
    outputs: Any
    """What it returned."""
    is_backward: bool
    """It ran inside the backward pass, which on CUDA has a thread of its own."""


Replacement: TypeAlias = Callable[[Target, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""(target, function, arguments, keywords) → result: what to run instead of a function of torch."""
ExtraMemory: TypeAlias = Callable[[Call, Target], Iterable[Extra]]
"""(operation, target) → what its kernel asks for beside its outputs."""


@dataclass(frozen=True)
class Rule:
    """One correction of a trace.

    A rule corrects functions above autograd (``functions``), so that autograd keeps what it keeps
    on CUDA, adds memory to operations below it (``operations``), or corrects what is neither (``around``).
    """

    name: str
    """Name of its file."""
    meaning: Text
    """What CUDA does, in a sentence for a person."""
    source: str
    """Where that is written: file of PyTorch, manual, or measurement."""
    is_measured: bool = False
    """Its bytes were compared with a real card; False: they follow from the source alone."""
    functions: Callable[[], Mapping[Callable[..., Any], Replacement]] | None = None
    """Gives the functions of torch that it replaces; None for none. Called once torch is there."""
    operations: Mapping[str, ExtraMemory] = field(default_factory=dict)
    """By the name of the operation, without overload."""
    around: Callable[[], AbstractContextManager[object]] | None = None
    """Gives what surrounds the traced program, in its thread; None for nothing."""
