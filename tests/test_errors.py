"""The exception tree and what its messages say."""

from __future__ import annotations

import builtins
import inspect
import re

import pytest

from bigmodel_lab import errors
from bigmodel_lab.errors import BigModelLabError, MissingPackageError, NonFiniteLossError, UnknownNameError


def drawn_tree() -> dict[str, tuple[str, str | None]]:
    """Name of each error → its parent and the built-in in brackets, as the module's docstring draws them."""
    found: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│ ]*(?:[├└]── )?)(\w+(?:Error|Memory))(?: \[(\w+)\])?", line)
        if match:
            depth = len(match[1]) // 4
            del above[depth:]
            if above:
                found[match[2]] = (above[-1], match[3])
            above.append(match[2])
    return found


def all_errors() -> list[type[BaseException]]:
    """Every error of the module but the base of all."""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    return [c for c in classes if c is not BigModelLabError]


def test_the_docstring_draws_every_error():
    """The tree in the docstring is complete."""
    assert set(drawn_tree()) == {c.__name__ for c in all_errors()}


@pytest.mark.parametrize("error", all_errors(), ids=lambda c: c.__name__)
def test_the_drawn_parent_is_the_real_one(error: type[BaseException]):
    """The tree in the docstring is true, built-in bases included."""
    parent, builtin = drawn_tree()[error.__name__]

    assert getattr(errors, parent) in error.__bases__
    assert builtin is None or getattr(builtins, builtin) in error.__bases__


@pytest.mark.parametrize("error", all_errors(), ids=lambda c: c.__name__)
def test_every_error_is_a_library_error(error: type[BaseException]):
    """One `except BigModelLabError` catches everything that is raised on purpose."""
    assert issubclass(error, BigModelLabError)


def test_unknown_name_suggests_the_nearest():
    """A misspelt name is answered with the right one and with all that exist."""
    error = UnknownNameError("model", "simpel_cnn", ["simple_cnn", "mlp"])

    assert (
        str(error) == "There is no model named 'simpel_cnn'. Did you mean 'simple_cnn'? These exist: mlp, simple_cnn."
    )


def test_unknown_name_without_a_near_one_only_lists():
    """Nothing is suggested where nothing is near."""
    assert "Did you mean" not in str(UnknownNameError("model", "zzz", ["mlp"]))


def test_unknown_name_in_an_empty_family_says_none():
    """An empty list is said in words."""
    assert str(UnknownNameError("live run", "ab12", [])).endswith("These exist: none.")


def test_unknown_name_is_not_shown_as_a_repr():
    """KeyError would put the message between quotes."""
    error = UnknownNameError("model", "a", ["b"])

    assert isinstance(error, KeyError)
    assert not str(error).startswith(("'", '"'))


def test_non_finite_loss_knows_its_step():
    """Code can ask at which step the loss broke."""
    assert NonFiniteLossError("The loss became NaN at step 7.", step=7).step == 7


def test_missing_package_says_purpose_and_remedy():
    """A missing package is named with what it is for and the line that installs it."""
    error = MissingPackageError("pyarrow", "write Parquet files", "export")

    assert "pyarrow is needed to write Parquet files" in str(error)
    assert 'pip install "bigmodel_lab[export]"' in str(error)
    assert error.name == "pyarrow"
