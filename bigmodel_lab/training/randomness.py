"""A run has random numbers of its own; those of the person are never moved."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class RandomNumbers(Protocol):
    """Random numbers that can be drawn again."""

    def state(self) -> Any:
        """The numbers to go on with."""

    def put(self, state: Any) -> None:
        """Go on with the numbers that :meth:`state` gave."""


class Randomness:
    """The state of torch's random numbers for one run (dropout draws from it).

    The state is put in place while the run runs and kept while it does not, so that a
    stopped run goes on with exactly the numbers that it would have drawn.

    Limit: torch has one such state a device. Code that draws random numbers in another
    thread while a run is in the background shares it.

    >>> mine = Randomness(seed=1, device="cpu")
    >>> with mine.in_use():
    ...     first = torch.rand(2)
    >>> with mine.in_use():
    ...     second = torch.rand(2)
    >>> with Randomness(seed=1, device="cpu").in_use():
    ...     bool((torch.rand(4) == torch.cat((first, second))).all())
    True
    """

    def __init__(self, seed: int, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._active = False
        kinds = {"cpu", self._device.type}
        self._own = {kind: self._fresh(kind, seed) for kind in kinds}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The run's random numbers are torch's global ones; the person's return at the end."""
        persons, outer = self._read(), self._active
        self._write(self._own)
        self._active = True
        try:
            yield
        finally:
            self._active = outer  # a paused run that is judged meanwhile goes on being in use
            self._own = self._read()
            self._write(persons)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """As :meth:`in_use`, but what is drawn inside leaves no trace in the run either."""
        own = self._own
        with self.in_use():
            yield
        self._own = own

    def state(self) -> dict[str, Tensor]:
        """The numbers to go on with, one tensor of bytes a kind of device."""
        live = self._read() if self._active else self._own
        return {kind: state.clone() for kind, state in live.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on with the numbers that :meth:`state` gave; not while in use."""
        self._own = {kind: saved.clone() for kind, saved in state.items()}

    def put(self, state: Mapping[str, Tensor]) -> None:
        """Go on with the numbers that :meth:`state` gave, also while in use."""
        self.load_state(state)
        if self._active:
            self._write(self._own)

    def _fresh(self, kind: str, seed: int) -> Tensor:
        device = self._device if kind == self._device.type else kind
        return torch.Generator(device=device).manual_seed(seed).get_state()

    def _read(self) -> dict[str, Tensor]:
        return {kind: _get_state(kind, self._device) for kind in self._own}

    def _write(self, states: dict[str, Tensor]) -> None:
        for kind, state in states.items():
            _set_state(kind, self._device, state)


class SharedRandomness:
    """The random numbers that a loop of someone else's draws from: torch's, NumPy's and Python's global ones.

    >>> shared = SharedRandomness("cpu")
    >>> before = shared.state()
    >>> first = torch.rand(2), random.random()
    >>> shared.put(before)
    >>> bool((torch.rand(2) == first[0]).all()), random.random() == first[1]
    (True, True)
    """

    def __init__(self, device: str | torch.device) -> None:
        """Args: ``device`` is where the loop computes, beside the CPU."""
        self._device = torch.device(device)
        self._kinds = {"cpu", self._device.type}

    def state(self) -> Any:
        """The numbers to go on with."""
        of_torch = {kind: _get_state(kind, self._device) for kind in self._kinds}
        return of_torch, np.random.get_state(), random.getstate()  # noqa: NPY002 (the loop may draw from it)

    def put(self, state: Any) -> None:
        """Go on with the numbers that :meth:`state` gave."""
        of_torch, of_numpy, of_python = state
        for kind, saved in of_torch.items():
            _set_state(kind, self._device, saved)
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)


def _get_state(kind: str, device: torch.device) -> Tensor:
    if kind == "cuda":
        return torch.cuda.get_rng_state(device)
    if kind == "mps":
        return torch.mps.get_rng_state()
    return torch.get_rng_state()


def _set_state(kind: str, device: torch.device, state: Tensor) -> None:
    if kind == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif kind == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.set_rng_state(state)
