"""Methods that are others in threads that trace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from bigmodel_lab.trace._corrected import CorrectedMethod


class Greeter:
    """Says a word."""

    def say(self, word: str, *, loud: bool = False) -> str:
        """The word itself, or loudly."""
        return word.upper() if loud else word


def doubled(usual: Callable[..., str], greeter: Greeter, word: str, **options: Any) -> str:
    """Twice what it would say."""
    return 2 * usual(greeter, word, **options)


@pytest.fixture
def corrected() -> CorrectedMethod:
    """A greeter that stutters while somebody traces."""
    return CorrectedMethod(Greeter, "say", doubled)


def test_inside_it_is_the_other_one(corrected: CorrectedMethod) -> None:
    """And gets the usual one to call."""
    with corrected.in_this_thread():
        assert Greeter().say("a", loud=True) == "AA"

    assert Greeter().say("a") == "a"


def test_it_ends_with_an_error_too(corrected: CorrectedMethod) -> None:
    """The very method that was there is back."""
    before = Greeter.say
    with pytest.raises(ValueError, match="stop"), corrected.in_this_thread():
        raise ValueError("stop")

    assert Greeter.say is before


def test_inside_of_another_it_stays(corrected: CorrectedMethod) -> None:
    """Until the outer one ends."""
    with corrected.in_this_thread():
        with corrected.in_this_thread():
            assert Greeter().say("a") == "aa"
        assert Greeter().say("a") == "aa"


def test_other_threads_see_no_difference(corrected: CorrectedMethod) -> None:
    """While this one traces, and while each of two traces for itself."""
    said: list[str] = []

    def other(*, traces: bool) -> None:
        if traces:
            with corrected.in_this_thread():
                said.append(Greeter().say("a"))
        said.append(Greeter().say("a"))

    with corrected.in_this_thread():
        for traces in (False, True):
            thread = threading.Thread(target=other, kwargs={"traces": traces})
            thread.start()
            thread.join()
        assert Greeter().say("a") == "aa"

    assert said == ["a", "aa", "a"]
