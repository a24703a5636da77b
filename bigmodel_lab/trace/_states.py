"""What a program shares with everything else in its process, left as it was: random numbers and the modes of torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def untouched() -> Iterator[None]:
    """Inside, a program may draw random numbers, seed them, and switch modes of torch; afterwards all is as before.

    Random numbers of Python, NumPy and torch's CPU, gradients on or off, autocast, the default type and determinism. CUDA's generators
    are no concern: stand-ins draw nothing there.

    >>> with untouched():
    ...     torch.manual_seed(0), torch.set_grad_enabled(False)
    (<torch._C.Generator object at ...>, set_grad_enabled(mode=False))
    >>> torch.is_grad_enabled()
    True
    """
    numbers = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (the global one is what programs use)
    modes = _modes()
    try:
        yield
    finally:
        _put_back(modes)
        random.setstate(numbers[0])
        np.random.set_state(numbers[1])  # noqa: NPY002
        torch.set_rng_state(numbers[2])


def _modes() -> tuple[object, ...]:
    autocast = [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.is_grad_enabled(), autocast, torch.is_autocast_cache_enabled(), torch.get_default_dtype(), deterministic


def _put_back(modes: tuple[object, ...]) -> None:
    if modes == _modes():
        return
    gradients, autocast, cached, dtype, (deterministic, warns) = modes  # type: ignore[misc]
    torch.set_grad_enabled(gradients)  # type: ignore[has-type]
    for kind, enabled, format_ in autocast:  # type: ignore[has-type]
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, format_)
    torch.set_autocast_cache_enabled(cached)  # type: ignore[has-type]
    torch.set_default_dtype(dtype)  # type: ignore[has-type]
    torch.use_deterministic_algorithms(deterministic, warn_only=warns)  # type: ignore[has-type]
