"""What a program shares with everything else in its process, left as it was: random numbers and the modes of torch."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class _Modes:
    """Switches of torch: of this thread, and of the process."""

    gradients: bool
    autocast: tuple[tuple[str, bool, torch.dtype], ...]
    autocast_keeps_weights: bool
    dtype: torch.dtype
    deterministic: bool
    only_warns: bool

    @classmethod
    def now(cls) -> _Modes:
        """As they are."""
        return cls(
            torch.is_grad_enabled(),
            tuple((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")),
            torch.is_autocast_cache_enabled(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    def set(self) -> None:
        """Switches them so."""
        torch.set_grad_enabled(self.gradients)
        for kind, enabled, dtype in self.autocast:
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        torch.set_autocast_cache_enabled(self.autocast_keeps_weights)
        torch.set_default_dtype(self.dtype)
        torch.use_deterministic_algorithms(self.deterministic, warn_only=self.only_warns)


@contextmanager
def untouched(*generators: torch.Generator) -> Iterator[None]:
    """Inside, a program may draw random numbers, seed them, and switch modes of torch; afterwards all is as before.

    Random numbers of Python, NumPy and torch's CPU, gradients on or off, autocast, the default type and determinism. CUDA's generators
    are no concern: stand-ins draw nothing there. Generators of torch that are given are put back as well. What did not change is not set, for the sake of other threads.

    >>> with untouched():
    ...     _ = torch.set_grad_enabled(False)
    >>> torch.is_grad_enabled()
    True
    """
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (what programs use)
    modes = _Modes.now()
    own = [(generator, generator.get_state()) for generator in generators]
    try:
        yield
    finally:
        if modes != _Modes.now():
            modes.set()
        if random.getstate() != of_python:
            random.setstate(of_python)
        if not _equal(np.random.get_state(), of_numpy):  # noqa: NPY002
            np.random.set_state(of_numpy)  # noqa: NPY002
        if not torch.equal(torch.get_rng_state(), of_torch):
            torch.set_rng_state(of_torch)
        for generator, state in own:
            generator.set_state(state)


def _equal(one: Any, other: Any) -> bool:
    """Two states of NumPy's generator: a name, an array and three numbers."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class _Quiet(logging.Filter):
    """Keeps torch from printing each error of an operation on stand-ins before it raises it, in the threads that trace."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is printed."""
        return not getattr(self.here, "depth", 0) or "failed while attempting" not in record.msg


_QUIET = _Quiet()
_LOG = logging.getLogger("torch._subclasses.fake_tensor")


@contextmanager
def without_prints() -> Iterator[None]:
    """Inside, an error of an operation is raised and not printed as well: it may be that of a way that is not taken in the end."""
    _LOG.addFilter(_QUIET)  # a second time changes nothing
    _QUIET.here.depth = getattr(_QUIET.here, "depth", 0) + 1
    try:
        yield
    finally:
        _QUIET.here.depth -= 1
