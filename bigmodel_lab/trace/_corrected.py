"""Methods of torch that no mode can see: another one in the threads that trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Method = Callable[..., Any]


class CorrectedMethod:
    """Another method of a class, for as long as somebody traces, and in the threads that trace only.

    A class is one for all threads, so its method is replaced for all and asks who calls it.
    """

    def __init__(self, owner: type[Any], name: str, corrected: Method) -> None:
        """Args: the class; its method; and what runs instead, called with the usual one and then what that would get."""
        self._owner, self._name, self._corrected = owner, name, corrected
        self._usual: Method = getattr(owner, name)
        self._here = threading.local()
        self._lock = threading.Lock()
        self._traces = 0

    @contextmanager
    def in_this_thread(self) -> Iterator[None]:
        """Inside, this thread gets the corrected method; other threads see no difference."""
        self._count(1)
        self._here.depth = getattr(self._here, "depth", 0) + 1
        try:
            yield
        finally:
            self._here.depth -= 1
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._traces += change
            setattr(self._owner, self._name, self._asking() if self._traces else self._usual)

    def _asking(self) -> Method:
        def method(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._here, "depth", 0):
                return self._corrected(self._usual, *args, **kwargs)
            return self._usual(*args, **kwargs)

        return method
