"""Random numbers and modes of torch, as they were."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bigmodel_lab.trace._states import untouched


def states() -> tuple[object, ...]:
    """All that is promised."""
    numbers = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    modes = torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_autocast_enabled("cpu")
    return (
        *numbers,
        *modes,
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.is_autocast_cache_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )


CHANGES: list[Callable[[], object]] = [
    lambda: torch.rand(3),
    lambda: torch.manual_seed(1),
    random.random,
    lambda: random.seed(1),
    np.random.rand,
    lambda: np.random.seed(1),  # noqa: NPY002
    lambda: torch.set_grad_enabled(False),
    lambda: torch.set_default_dtype(torch.float64),
    lambda: torch.set_autocast_enabled("cpu", True),
    lambda: torch.set_autocast_dtype("cpu", torch.float16),
    lambda: torch.set_autocast_cache_enabled(False),
    lambda: torch.use_deterministic_algorithms(True),
]


@pytest.mark.parametrize("change", CHANGES)
def test_each_is_put_back(change: Callable[[], object]) -> None:
    """Also after an error."""
    before = states()
    inside = []

    def program() -> None:
        with untouched():
            change()
            inside.append(states())
            raise ValueError

    with pytest.raises(ValueError):
        program()

    assert inside[0] != before
    assert states() == before
