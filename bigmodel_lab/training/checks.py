"""Checks of single settings, whose messages name the setting, what came, and what is allowed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text

SHARE = "a share from 0 (none) to below 1, such as 0.1"
"""What is allowed for a share."""


def need_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """The setting is a whole number from ``least``.

    Args:
        name: The setting.
        value: What came.
        least: The smallest that is allowed.
        most: The largest that is allowed; None is any.

    Raises:
        ConfigError: It is something else.

    >>> need_whole("epochs", 3, 1)
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        upper = f" … {most}" if most is not None else ""
        raise wrong(name, value, text("config.whole", "a whole number from {least}{upper}", least=least, upper=upper))


def need_number(name: str, value: object, allowed: str, holds: Callable[[float], bool]) -> None:
    """The setting is a finite number for which ``holds`` is true.

    Args:
        name: The setting.
        value: What came.
        allowed: What is allowed, in words.
        holds: Whether a number is allowed.

    Raises:
        ConfigError: It is something else.

    >>> need_number("dropout", 0.5, SHARE, is_share)
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    finite = number and abs(value) <= sys.float_info.max  # type: ignore[arg-type] # also of a very large int
    if not finite or not holds(value):  # type: ignore[arg-type]
        raise wrong(name, value, text(f"config.{name}", allowed))


def need_name(name: str, value: object, example: str) -> None:
    """The setting is a text that is not empty.

    Raises:
        ConfigError: It is something else, e.g. a list or a class.

    >>> need_name("optimizer", "adam", "adam")
    """
    if not isinstance(value, str) or not value:
        raise wrong(name, value, text("config.name", "a name, such as {example!r}", example=example))


def need_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """The setting is one of these words.

    Raises:
        ConfigError: It is something else.

    >>> need_choice("precision", "bf16", ("fp32", "bf16"))
    """
    known = tuple(choices)
    if value not in known:
        raise wrong(name, value, " | ".join(known))


def need_mapping(name: str, value: object) -> None:
    """The setting is a dict with names as its keys.

    Raises:
        ConfigError: It is something else.

    >>> need_mapping("optimizer_options", {"momentum": 0.9})
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong(name, value, text("config.mapping", 'values by name, e.g. {"momentum": 0.9}'))


def need_names(name: str, value: object) -> None:
    """The setting is a tuple, or a list, of texts.

    Raises:
        ConfigError: It is something else, e.g. a single text.

    >>> need_names("freeze", ("conv*",))
    """
    if not isinstance(value, (tuple, list)) or not all(isinstance(one, str) and one for one in value):
        raise wrong(name, value, text("config.names", 'names in a tuple, e.g. ("conv*",)'))


def need_switch(name: str, value: object) -> None:
    """The setting is True or False.

    Raises:
        ConfigError: It is something else, e.g. a number.

    >>> need_switch("compile", True)
    """
    if not isinstance(value, bool):
        raise wrong(name, value, "True | False")


def is_share(value: float) -> bool:
    """It lies from 0 to below 1.

    >>> is_share(0.0), is_share(1.0)
    (True, False)
    """
    return 0 <= value < 1


def not_negative(value: float) -> bool:
    """It is 0 or more.

    >>> not_negative(0.0), not_negative(-0.1)
    (True, False)
    """
    return value >= 0


def wrong(name: str, value: object, allowed: str) -> ConfigError:
    """The error of a setting that cannot be used.

    >>> print(wrong("epochs", 0, "a whole number from 1"))
    epochs is 0, but must be: a whole number from 1.
    """
    return ConfigError(
        text(
            "error.setting",
            "{name} is {value!r}, but must be: {allowed}.",
            name=name,
            value=value,
            allowed=allowed,
        )
    )
