"""Ask the browser for a sign of life while the cell is busy."""

from __future__ import annotations

import threading
import time
from typing import Any

from bigmodel_lab.widgets.dashboard import keep_asked_subshell

# Again and again: what is sent before JupyterLab has opened its way past the busy cell waits behind it.
_ESM = """export default { render({ model }) {
  const timer = setInterval(() => model.send({ type: "hello" }), 100);
  setTimeout(() => clearInterval(timer), 3000);
  return () => clearInterval(timer);
} }"""


def probe_widget(timeout_s: float = 2.0) -> bool:
    """Whether a widget shown in the running cell is heard before the cell ends.

    Args:
        timeout_s: How long to wait for its message.

    Returns:
        True when the front end can show our widget and its messages arrive while the cell is busy.
    """
    import anywidget
    from IPython.display import display

    heard = threading.Event()
    probe: Any = anywidget.AnyWidget(_esm=_ESM)
    keep_asked_subshell(probe)
    probe.on_msg(lambda *_: heard.set())
    display(probe)  # type: ignore[no-untyped-call]
    began = time.monotonic()
    while not heard.wait(0.05) and time.monotonic() - began < timeout_s:
        pass
    probe.close()
    return heard.is_set()
