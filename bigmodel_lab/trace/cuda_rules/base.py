"""The contract of a rule: what CUDA does differently, where that is written, and how to say it in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bigmodel_lab.i18n import Text
from bigmodel_lab.memory.cards import Card, cublas_workspace_bytes, cublaslt_workspace_bytes

_THREADS = {(7, 5): 1024, (8, 6): 1536, (8, 7): 1536, (8, 9): 1536, (11, 0): 1536, (12, 0): 1536, (12, 1): 1536}
_THREADS_OTHERWISE = 2048


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
    multiprocessors: int = 108
    """How many the card has, by which kernels divide their work; an A100's where nobody knows."""
    forward_threads: int = 1
    """Threads that have such workspaces while a step runs, beside that of the backward pass: 2 where a run in the
    background was tried out on the main thread first."""

    @property
    def threads_per_multiprocessor(self) -> int:
        """Most that one of them holds, by the compute capability.

        Table "Technical Specifications per Compute Capability" of NVIDIA's CUDA programming guide.
        """
        return _THREADS.get(self.capability, _THREADS_OTHERWISE)

    @classmethod
    def of(cls, card: Card) -> Target:
        """What of a card decides how much its kernels ask for.

        Args:
            card: Any, a made-up one too.

        >>> from bigmodel_lab.memory.cards import card
        >>> Target.of(card("H200")).multiprocessors
        132
        """
        capability = card.capability
        workspaces = cublas_workspace_bytes(capability), cublaslt_workspace_bytes(capability)
        return cls(capability, *workspaces, multiprocessors=card.multiprocessors)


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
class Outputs:
    """The place, among a rule's steps, where the kernel asks for its outputs; before all others where no rule says."""

    numbers: tuple[int, ...] | None = None
    """Positions, among the tensors, of the outputs that are asked for here, in this order; None is all of them. An output that is named
    nowhere is not on the card."""


@dataclass(frozen=True)
class Freed:
    """A kernel gives memory back before it ends."""

    extra: Extra
    """As the same rule asked for it."""


Step: TypeAlias = Extra | Outputs | Freed
"""What a kernel does with memory, one after the other. What it asked for and did not free is freed when it ends."""


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
ExtraMemory: TypeAlias = Callable[[Call, Target], Iterable[Step]]
"""(operation, target) → what its kernel asks for beside its outputs, in the order in which it does."""
OutputBytes: TypeAlias = Callable[[Call, Target], Mapping[int, int]]
"""(operation, target) → bytes that CUDA asks for in the place of an output's own, by the output's number; 0 is none."""


@dataclass(frozen=True)
class Rule:
    """One correction of a trace.

    A rule corrects functions above autograd (``functions``), so that autograd keeps what it keeps
    on CUDA, adds memory to operations below it (``operations``), says where an output takes other memory than its shape
    tells (``outputs``), or corrects what is neither (``around``).
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
    outputs: Mapping[str, OutputBytes] = field(default_factory=dict)
    """By the name of the operation, without overload; one rule for each."""
    around: Callable[[], AbstractContextManager[object]] | None = None
    """Gives what surrounds the traced program, in its thread; None for nothing."""
