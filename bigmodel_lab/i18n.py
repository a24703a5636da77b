"""Every text that a person reads passes through here, by a message key.

The key is gettext's message context and the English text its message id, so the
standard tools extract both (``xgettext -k text:1c,2 -k Text:1c,2``) and a missing
translation falls back to English by itself. A catalogue lies in
``bigmodel_lab/locale/<language>/LC_MESSAGES/bigmodel_lab.mo``.

>>> from bigmodel_lab.i18n import text
>>> text("example.greeting", "Paused at step {step}.", step=7)
'Paused at step 7.'
"""

from __future__ import annotations

import gettext
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def _catalogue() -> gettext.NullTranslations:
    chosen = os.environ.get("BIGMODEL_LAB_LANGUAGE")
    return gettext.translation(
        "bigmodel_lab",
        localedir=str(Path(__file__).parent / "locale"),
        languages=[chosen] if chosen else None,
        fallback=True,
    )


def text(key: str, english: str, /, **values: object) -> str:
    """The text with this message key in the person's language, with its values filled in.

    Args:
        key: Dotted message key, unique for its English text, e.g. ``"run.paused"``.
        english: The English text; ``{name}`` marks a value.
        values: What to fill in, with :meth:`str.format`.
    """
    translated = _catalogue().pgettext(key, english)
    return translated.format(**values) if values else translated


@dataclass(frozen=True)
class Text:
    """A text that is defined at import time and translated when it is shown.

    >>> str(Text("example.title", "Loss"))
    'Loss'
    """

    key: str
    """Message key."""
    english: str
    """English text, without values to fill in."""

    def __str__(self) -> str:
        return text(self.key, self.english)
