"""The one door to NVML, the library of the NVIDIA driver: every question goes through :class:`Nvml`.

A question that cannot be answered gives ``None`` and the reason; nothing here raises for a
missing driver, an old driver or a lost GPU, and nothing here creates a CUDA context.
PCIe throughput is never asked for: the driver would block 20 ms for each answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from bigmodel_lab.samplers import _reasons


@dataclass(frozen=True)
class Answer:
    """What NVML said to one question."""

    value: Any = None
    """The answer in NVML's own units; None is unknown."""
    reason: str = ""
    """Why the value is unknown; empty when it is known."""
    code: int = 0
    """NVML's return code; 0 is success."""

    @property
    def known(self) -> bool:
        """There is a value."""
        return self.value is not None

    @property
    def lost(self) -> bool:
        """The connection to the driver or to the GPU is broken."""
        return self.code in _reasons.LOST


def unknown(reason: str) -> Answer:
    """An answer that is not known for a reason other than an error of NVML.

    >>> unknown("The process has not used the card yet.").known
    False
    """
    return Answer(None, reason, _reasons.NOT_FOUND)


class Nvml:
    """A connection to NVML that opens itself at the first question.

    NVML counts the connections of a process, so several of these, and other libraries that
    use NVML, live side by side.
    """

    def __init__(self) -> None:
        self._module: ModuleType | None = None
        self._lock = threading.Lock()

    def ask(self, function: str, *arguments: Any) -> Answer:
        """Call this function of pynvml.

        Args:
            function: Its name, e.g. ``"nvmlDeviceGetPowerUsage"``.
            arguments: Its arguments, such as a device handle.
        """
        module, refused = self._opened()
        if module is None:
            return refused
        try:
            return Answer(getattr(module, function)(*arguments))
        except module.NVMLError as error:
            return Answer(None, _reasons.explain(error.value, str(error)), error.value)

    def ask_first_of(self, *questions: tuple[Any, ...]) -> Answer:
        """Call these functions, newest form first, until one is answered.

        Drivers know only the forms of their time, so a newer one may be missing.

        Args:
            questions: Each the function's name followed by its arguments.
        """
        answer = Answer()
        for question in questions:
            answer = self.ask(*question)
            if answer.code not in _reasons.OTHER_FORM:
                break
        return answer

    def close(self) -> None:
        """Give the connection back. It opens again at the next question."""
        with self._lock:
            module, self._module = self._module, None
        if module is not None:
            try:
                module.nvmlShutdown()
            except module.NVMLError:
                # A lost driver cannot be told good-bye; the count of connections is its own.
                return

    def _opened(self) -> tuple[ModuleType | None, Answer]:
        with self._lock:
            if self._module is not None:
                return self._module, Answer()
            try:
                module = import_module("pynvml")
            except ImportError:
                return None, Answer(None, _reasons.explain(_reasons.NO_BINDING), _reasons.NO_BINDING)
            try:
                module.nvmlInit()
            except module.NVMLError as error:
                return None, Answer(None, _reasons.explain(error.value, str(error)), error.value)
            self._module = module
            return module, Answer()
