"""The live dashboard's widget: one for each run, never one for each chart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from bigmodel_lab.widgets._bundle import browser_code
from bigmodel_lab.widgets._frames import Frame


class Dashboard(anywidget.AnyWidget):
    """The browser's view of one run. Draws nothing here: it carries messages both ways."""

    _esm = traitlets.Unicode("").tag(sync=True)
    _css = traitlets.Unicode("").tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    """What to draw; see :func:`bigmodel_lab.widgets._spec.build_spec`."""

    def __init__(self, spec: Mapping[str, Any], on_message: Callable[[Mapping[str, Any]], None]) -> None:
        """Make the widget and tell the browser about it.

        Args:
            spec: What to draw.
            on_message: Takes each message of the browser, in whatever thread it arrives; must only enqueue.

        Raises:
            BigModelLabError: The browser code has not been built.
        """
        esm, css = browser_code()
        self._sending = threading.Lock()
        self._on_message = on_message
        super().__init__(spec=dict(spec), _esm=esm, _css=css)
        self.on_msg(self._receive)

    def open(self) -> None:
        """Open the connection to the browser, so that messages arrive while a cell runs."""
        super().open()
        keep_asked_subshell(self)

    def send_frame(self, frame: Frame) -> None:
        """Send one message; threads take turns."""
        with self._sending:
            self.send(frame.content, buffers=[frame.buffer] if frame.buffer else None)

    def bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Formats and metadata that show this widget in an output.

        Made here and not by ``display()``, which with ipywidgets 7 drops the display id.
        """
        data, metadata = self._repr_mimebundle_() or ({}, {})
        return dict(data), dict(metadata)

    def __repr__(self) -> str:
        # The same in every execution, so that notebooks can be compared.
        return f"Dashboard({self.spec.get('title', '')!r})"

    def _receive(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, Mapping):
            self._on_message(content)


def keep_asked_subshell(widget: Any) -> None:
    """Keep a widget's messages on the subshell that the browser sent them to.

    ipykernel 7.4 redirects them to the shell that last wrote to the widget: the one that is
    busy with the training cell, where they wait until it ends. Other versions need nothing.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001
