"""How the categories of memory are called, stacked and coloured wherever they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.i18n import Text
from bigmodel_lab.memory.requests import CATEGORIES
from bigmodel_lab.units import format_value

UNKNOWN = "unknown"
"""What a recording does not tell: a stack trace is missing, or says nothing."""
SHOWN: tuple[str, ...] = (*(category for category in CATEGORIES if category != UNKNOWN), UNKNOWN)
"""Every category in the order in which pictures stack them, what nobody knows on top."""


@dataclass(frozen=True)
class Shade:
    """One colour on light and on dark ground."""

    light: str
    """On white, as ``#rrggbb``."""
    dark: str
    """On near-black, as ``#rrggbb``."""


SHADES: dict[str, Shade] = {
    "parameter": Shade("#1a4288", "#3a64a0"),
    "gradient": Shade("#c0500e", "#b05c26"),
    "optimizer_state": Shade("#a046d8", "#c77ee8"),
    "activation": Shade("#2bbd84", "#34c987"),
    "input": Shade("#d6b32e", "#e5c84a"),
    "temporary": Shade("#8b919c", "#aab3bf"),
    UNKNOWN: Shade("#e3bcc4", "#5d4a4f"),
}
"""Hues of the other charts, in steps of lightness too, so that they differ where red and green look alike."""

_LABELS = {
    "parameter": Text("memory.parameter", "parameters"),
    "gradient": Text("memory.gradient", "gradients"),
    "optimizer_state": Text("memory.optimizer_state", "optimizer state"),
    "activation": Text("memory.activation", "activations"),
    "input": Text("memory.input", "input"),
    "temporary": Text("memory.temporary", "temporary"),
    UNKNOWN: Text("memory.unknown", "not recorded"),
}
_MEANINGS = {
    "parameter": Text("memory.parameter.meaning", "Weights of the model, and its buffers."),
    "gradient": Text("memory.gradient.meaning", "Gradients of the weights, from birth until they are dropped."),
    "optimizer_state": Text("memory.optimizer_state.meaning", "What the optimizer keeps from step to step."),
    "activation": Text("memory.activation.meaning", "What the forward pass keeps for the backward pass."),
    "input": Text("memory.input.meaning", "The batch."),
    "temporary": Text("memory.temporary.meaning", "Needed for a moment: workspaces, intermediate results."),
    UNKNOWN: Text("memory.unknown.meaning", "The recording does not tell what this is for."),
}
_LEAST_SHARE = 0.001
_LIGHT_PAGES = ("[data-jp-theme-light=true]", ".vscode-light", "[theme=light]", "[data-theme=light]")
_DARK_PAGES = (
    "[data-jp-theme-light=false]",
    ".vscode-dark",
    ".vscode-high-contrast",
    "[theme=dark]",
    "[data-theme=dark]",
)


def category_label(category: str) -> str:
    """Name of a category for a person; another word than the known ones is shown as it is.

    >>> category_label("optimizer_state"), category_label("kv_cache")
    ('optimizer state', 'kv_cache')
    """
    return str(_LABELS.get(category, category))


def category_meaning(category: str) -> str:
    """One sentence on what a category holds; empty for a word of somebody's own.

    >>> category_meaning("input")
    'The batch.'
    """
    return str(_MEANINGS.get(category, ""))


def known(category: str) -> str:
    """The category as pictures colour it: a word that they do not know counts as unknown.

    >>> known("gradient"), known("kv_cache")
    ('gradient', 'unknown')
    """
    return category if category in SHADES else UNKNOWN


def share_in_words(part: int, whole: int) -> str:
    """Part of a whole in percent, to a tenth.

    >>> share_in_words(1, 3), share_in_words(1, 10**6), share_in_words(0, 5), share_in_words(0, 0)
    ('33.3 %', '< 0.1 %', '0 %', '0 %')
    """
    share = part / whole if whole else 0.0
    if 0 < share < _LEAST_SHARE / 2:
        return f"< {format_value(_LEAST_SHARE, 'fraction')}"
    return format_value(round(share, 3), "fraction")


def theme_css(scope: str, *, page: bool) -> str:
    """CSS variables ``--k0`` … of the colours, in the order of :data:`SHOWN`, below ``scope``.

    The system's choice of light or dark counts where the page does not declare its own. JupyterLab, VS Code, Colab and
    Sphinx declare one on an element above.

    Args:
        scope: CSS selector, e.g. ``".bml-mem"``.
        page: Whether it lies in a page that may declare its own; a picture of its own has none.

    >>> theme_css(".x", page=False).startswith(".x{--k0:#1a4288;")
    True
    """
    light, dark = (_variables(side) for side in ("light", "dark"))
    rules = [f"{scope}{{{light}}}", f"@media (prefers-color-scheme:dark){{{scope}{{{dark}}}}}"]
    if page:
        rules += [f"{','.join(f'{where} {scope}' for where in _LIGHT_PAGES)}{{{light}}}"]
        rules += [f"{','.join(f'{where} {scope}' for where in _DARK_PAGES)}{{{dark}}}"]
    return "".join(rules)


def _variables(side: str) -> str:
    shades = ";".join(f"--k{nth}:{getattr(SHADES[name], side)}" for nth, name in enumerate(SHOWN))
    warning, ground, ink = ("#c01c28", "#ffffff", "#1f2328") if side == "light" else ("#ff7b72", "#0d1117", "#e6edf3")
    return f"{shades};--warn:{warning};--ground:{ground};--ink:{ink}"
