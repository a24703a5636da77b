"""How the code speaks: messages of errors, handlers, and the keys of texts for people."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.architecture.sources import Source

BLANKET = {"Exception", "BaseException"}
SIGNALS = {"KeyboardInterrupt", "StopIteration"}
"""Raised for what they are, not for what they say."""


def blanket_handlers(source: Source) -> Iterator[str]:
    """Handlers that would swallow any mistake: a bare except, or one of Exception."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node.type) and not _ends_in_raise(node):
            yield source.at(node)


def _catches_all(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_catches_all(one) for one in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in BLANKET)


def _ends_in_raise(handler: ast.ExceptHandler) -> bool:
    """Whether the handler only cleans up and lets the same error go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def silent_raises(source: Source) -> Iterator[str]:
    """Errors that are raised without a word."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and _is_bare(node.exc):
            yield source.at(node)


def _is_bare(raised: ast.expr | None) -> bool:
    if isinstance(raised, ast.Call):
        return not raised.args and not raised.keywords
    return isinstance(raised, ast.Name) and raised.id[:1].isupper() and raised.id not in SIGNALS


def ambiguous_keys(code: Sequence[Source]) -> list[str]:
    """Message keys that stand for two different English texts."""
    english: dict[str, dict[str, str]] = defaultdict(dict)
    for source in code:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and (pair := _key_and_text(node)):
                english[pair[0]].setdefault(pair[1], source.at(node))
    return [f"{key}: {' and '.join(texts.values())}" for key, texts in sorted(english.items()) if len(texts) > 1]


def _key_and_text(call: ast.Call) -> tuple[str, str] | None:
    """Key and English text of ``text(key, english)`` and ``Text(key, english)`` where both are literal."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in {"text", "Text"} or len(call.args) < 2:
        return None
    key, words = call.args[:2]
    if isinstance(key, ast.Constant) and isinstance(words, ast.Constant):
        return str(key.value), str(words.value)
    return None
