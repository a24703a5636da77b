"""The output area of the cell that started a run, reached from any thread, also after that cell."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4


def sending_errors() -> tuple[type[Exception], ...]:
    """What sending through a kernel, or reading the run for it, can raise.

    Training goes on without a display, so its callers turn these into a reason to show.
    """
    own: tuple[type[Exception], ...] = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
    zmq = sys.modules.get("zmq")
    return (*own, zmq.ZMQError) if zmq is not None else own


class Cell:
    """Remembers the running cell, so that what is shown later goes to it.

    ipykernel 7 keeps the running cell in context variables, which a new thread does not
    have; ipykernel 6 keeps it in one place for all threads, where only the display id
    tells the outputs apart. Running in a copy of the cell's context serves both.
    """

    def __init__(self) -> None:
        self._context = contextvars.copy_context()
        self.display_id = f"bigmodel-lab-{uuid4().hex}"
        """Identity of the output, by which it is replaced."""

    def run(self, job: Callable[[], None]) -> None:
        """Call ``job()`` as if in the cell, in the calling thread."""
        self._context.copy().run(job)  # a copy: a context can be entered by one thread at a time

    def bind(self, job: Callable[[], bool]) -> Callable[[], bool]:
        """The job as it runs in the cell's context, for a thread of its own."""
        context = self._context.copy()
        return lambda: context.run(job)

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Show a bundle of the same content in several formats as a new output of the cell."""
        self.run(lambda: self._publish(data, metadata))

    def replace(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Show a bundle in place of what :meth:`show` showed."""
        self.run(lambda: self._publish(data, metadata, update=True))

    def _publish(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any] | None,
        *,
        update: bool = False,
    ) -> None:
        from IPython.display import publish_display_data

        # Not display(): ipywidgets 7 would show a widget without its display id.
        publish: Any = publish_display_data
        publish(dict(data), dict(metadata or {}), transient={"display_id": self.display_id}, update=update)
