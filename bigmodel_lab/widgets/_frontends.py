"""Where this code runs and what that place can show.

Nothing is imported for it: IPython, ipykernel and Colab are looked up among the modules
that are loaded already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bigmodel_lab.i18n import text

Kind = Literal["notebook", "headless", "script"]


@dataclass(frozen=True)
class FrontEnd:
    """What a run can be shown in."""

    kind: Kind
    """``"notebook"``: someone looks at a page; ``"headless"``: a kernel without a page
    (nbclient, nbval, papermill); ``"script"``: no kernel at all."""
    name: str
    """``"jupyter"``, ``"vscode"``, ``"colab"``, ``"kaggle"``, ``"nbclient"``, ``"terminal"``."""
    thread_updates: bool
    """What a thread sends is shown at once; else the training loop's own thread has to send it."""
    reason: str
    """How this was found out, for ``doctor()``."""


def detect() -> FrontEnd:
    """The place where this code runs, found out anew each time.

    ``BIGMODEL_LAB_HEADLESS=1`` makes a kernel headless, ``=0`` makes it live.

    >>> detect().kind
    'script'
    """
    kernel = running_kernel()
    if kernel is None:
        return FrontEnd(
            "script", "terminal", thread_updates=True, reason=text("front.script", "No notebook kernel is running.")
        )
    forced = os.environ.get("BIGMODEL_LAB_HEADLESS", "")
    if forced == "1":
        return _headless(text("front.forced", "BIGMODEL_LAB_HEADLESS=1 is set."))
    if forced != "0" and not _takes_input(kernel):
        return _headless(text("front.no_stdin", "The program that runs this notebook takes no input from a person."))
    return _notebook(kernel)


def running_kernel() -> Any | None:
    """The Jupyter kernel of this process; None in a script or a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None)


def cell_number() -> int | None:
    """Number of the running cell, as in ``In [3]``; None outside a notebook."""
    count = getattr(getattr(running_kernel(), "shell", None), "execution_count", None)
    return count if isinstance(count, int) else None


def _headless(reason: str) -> FrontEnd:
    return FrontEnd("headless", "nbclient", thread_updates=not _drops_thread_updates(), reason=reason)


def _notebook(kernel: Any) -> FrontEnd:
    name = _name(kernel)
    if name == "colab":
        reason = text("front.colab", "Google Colab does not show what a thread sends.")
        return FrontEnd("notebook", name, thread_updates=False, reason=reason)
    if _drops_thread_updates():
        reason = text("front.ipykernel_7_0", "ipykernel 7.0 cannot send from a thread; 7.1 or newer can.")
        return FrontEnd("notebook", name, thread_updates=False, reason=reason)
    reason = text("front.live", "A Jupyter kernel with a page.")
    return FrontEnd("notebook", name, thread_updates=True, reason=reason)


def _name(kernel: Any) -> str:
    if "google.colab" in sys.modules:
        return "colab"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "kaggle"
    return "vscode" if _is_vscode(kernel) else "jupyter"


def _is_vscode(kernel: Any) -> bool:
    cell = str(_request(kernel).get("metadata", {}).get("cellId", ""))
    names = getattr(getattr(kernel, "shell", None), "user_ns", {})
    own_process = "VSCODE_PID" in os.environ and "JPY_SESSION_NAME" not in os.environ
    return cell.startswith("vscode-") or "__vsc_ipynb_file__" in names or own_process


def _takes_input(kernel: Any) -> bool:
    return bool(_request(kernel).get("content", {}).get("allow_stdin", True))


def _request(kernel: Any) -> Mapping[str, Any]:
    """The message that made the kernel run this code; empty where the kernel does not tell."""
    if not hasattr(kernel, "get_parent"):
        return {}
    try:
        return kernel.get_parent("shell") or {}
    except LookupError:  # ipykernel 7.0, asked from a thread
        return {}


def _drops_thread_updates() -> bool:
    version = getattr(sys.modules.get("ipykernel"), "__version__", "")
    return version.startswith("7.0.")
