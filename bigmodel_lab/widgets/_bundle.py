"""The built browser code, as files of the package."""

from __future__ import annotations

from pathlib import Path

from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.i18n import text

STATIC = Path(__file__).resolve().parent.parent / "static"
"""Folder of the built browser code."""


def bundle_missing(folder: Path = STATIC) -> str:
    """Why there is no browser code, with what to do; empty when it is there."""
    module = folder / "dashboard.js"
    if module.is_file():
        return ""
    return text(
        "error.no_browser_code",
        "The dashboard's browser code is missing: {path} does not exist. An installed package has it; "
        "in a source checkout build it with:  cd labextension && npm ci && npm run build",
        path=module,
    )


def browser_code(folder: Path = STATIC) -> tuple[str, str]:
    """The JavaScript module and its style sheet.

    Raises:
        BigModelLabError: They have not been built.
    """
    missing = bundle_missing(folder)
    if missing:
        raise BigModelLabError(missing)
    style = folder / "dashboard.css"
    return (folder / "dashboard.js").read_text("utf-8"), style.read_text("utf-8") if style.is_file() else ""
