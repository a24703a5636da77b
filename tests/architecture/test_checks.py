"""The checks of the architecture can fail: each finds its mistake in a small package made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import imports, wording
from tests.architecture.sources import Measured, Source, ninetieth_percentile, sources

Make = Callable[..., list[Source]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes files of a package ``p`` (``a__b`` is ``a/b.py``) and reads them."""

    def write(**files: str) -> list[Source]:
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / "p" / f"{name.replace('__', '/') if name != '__init__' else name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return sources(tmp_path / "p", tmp_path)

    return write


def only(code: list[Source]) -> Measured:
    """The one function of a package."""
    (function,) = (f for source in code for f in source.functions())
    return function


def test_an_import_upwards_is_found(make: Make) -> None:
    """A lower layer that imports a higher one is named with file and line."""
    code = make(low="import os\nfrom p.high import x\n", high="x = 1\n")
    assert imports.layer_violations(code, [["low"], ["high"]]) == ["p/low.py:2 low imports high, which is not below it"]


def test_an_import_downwards_is_fine(make: Make) -> None:
    """A higher layer may import a lower one."""
    assert imports.layer_violations(make(low="", high="from p import low\n"), [["low"], ["high"]]) == []


def test_an_import_inside_a_function_counts(make: Make) -> None:
    """Hiding an import in a function does not turn the direction."""
    code = make(low="def f():\n    import p.high\n", high="")
    assert len(imports.layer_violations(code, [["low"], ["high"]])) == 1


def test_neighbours_may_not_import_each_other(make: Make) -> None:
    """Parts of one layer are independent."""
    assert len(imports.layer_violations(make(a="import p.b\n", b=""), [["a", "b"]])) == 1


def test_relative_imports_are_followed(make: Make) -> None:
    """`from ..high import x` inside a folder is the same as its absolute form."""
    code = make(low__x="from ..high import y\n", high="y = 1\n")
    assert len(imports.layer_violations(code, [["low"], ["high"]])) == 1


def test_a_part_without_a_layer_is_found(make: Make) -> None:
    """A new part must be placed."""
    assert imports.unlayered(make(new=""), [["old"]]) == ["new"]


def test_a_cycle_is_found(make: Make) -> None:
    """Three modules in a ring."""
    code = make(a="import p.b\n", b="import p.c\n", c="import p.a\n", d="import p.a\n")
    assert imports.cycles(imports.graph(code)) == [["p.a", "p.b", "p.c"]]


def test_a_cycle_for_the_type_checker_counts_only_over_all_imports(make: Make) -> None:
    """`if TYPE_CHECKING:` does not run, but it is a knot all the same."""
    code = make(a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.b\n", b="import p.a\n")
    assert imports.cycles(imports.graph(code, at_import_time=True)) == []
    assert imports.cycles(imports.graph(code)) == [["p.a", "p.b"]]


def test_a_cycle_between_folders_is_found(make: Make) -> None:
    """No single module is in a ring, and still the two folders need each other."""
    code = make(a__x="import p.b.x\n", a__y="", b__x="", b__y="import p.a.y\n")
    assert imports.cycles(imports.graph(code)) == []
    assert imports.cycles(imports.sub_packages(imports.graph(code))) == [["a", "b"]]


def test_a_forbidden_package_is_found(make: Make) -> None:
    """An import inside a function of a pure part is named; the same in another part is nobody's concern."""
    code = make(pure="def f():\n    from jupyter_client import x\n", other="import jupyter_client\n")
    assert imports.outside(code, {"pure"}, ["jupyter"]) == ["p/pure.py:2 imports jupyter_client.x"]


@pytest.mark.parametrize(
    "code",
    ["def f(a): return a\n", "def f(a: int): ...\n", "def f(*a) -> None: ...\n", "class C:\n    def f(s, *, a): ...\n"],
)
def test_a_missing_annotation_is_found(make: Make, code: str) -> None:
    """Parameters of every kind and the return count."""
    assert not only(make(m=code)).typed


@pytest.mark.parametrize("code", ["def f(a: int) -> int: ...\n", "class C:\n    def __init__(self, a: int): ...\n"])
def test_a_full_annotation_is_enough(make: Make, code: str) -> None:
    """A constructor needs no return, and self no type."""
    assert only(make(m=code)).typed


def test_a_body_is_measured_without_its_docstring(make: Make) -> None:
    """Explaining more must not make a function long."""
    assert only(make(m='def f() -> int:\n    """One.\n\n    Two.\n    """\n    return 1\n')).body_lines == 2


def test_decisions_are_counted(make: Make) -> None:
    """One, an if, an `and`, a loop, a comprehension."""
    code = "def f(a: list) -> list:\n    if a and a[0]:\n        for _ in a: pass\n    return [x for x in a]\n"
    assert only(make(m=code)).complexity == 5


def test_private_means_private_all_the_way_down(make: Make) -> None:
    """A method of a private class is not public, nor is a function inside a function."""
    code = make(m="class _C:\n    def f(self): ...\ndef g():\n    def h(): ...\n")
    assert [f.node.name for s in code for f in s.functions() if f.public] == ["g"]


def test_code_lines_leave_out_comments_and_docstrings(make: Make) -> None:
    """Only what runs counts."""
    assert sum(s.code_lines for s in make(m='"""Doc."""\n# why\n\nx = 1  # one\ny = (\n    2\n)\n')) == 4


@pytest.mark.parametrize("caught", ["", " Exception", " (OSError, BaseException)"])
def test_a_blanket_handler_is_found(make: Make, caught: str) -> None:
    """A bare except and one of Exception, alone or in a tuple."""
    code = make(m=f"try:\n    pass\nexcept{caught}:\n    pass\n")
    assert [w for s in code for w in wording.blanket_handlers(s)] == ["p/m.py:3"]


def test_a_handler_that_raises_again_swallows_nothing(make: Make) -> None:
    """Cleaning up and letting the error go on is fine, and so is catching a named error."""
    code = make(m="try:\n    pass\nexcept OSError:\n    pass\nexcept BaseException:\n    x = 1\n    raise\n")
    assert [w for s in code for w in wording.blanket_handlers(s)] == []


@pytest.mark.parametrize("raised", ["ValueError", "ValueError()"])
def test_a_silent_error_is_found(make: Make, raised: str) -> None:
    """With or without the parentheses."""
    assert [w for s in make(m=f"raise {raised}\n") for w in wording.silent_raises(s)] == ["p/m.py:1"]


@pytest.mark.parametrize("raised", ["", " error", " ValueError('what came')", " from_somewhere()[0]"])
def test_an_error_with_a_word_is_fine(make: Make, raised: str) -> None:
    """An error that goes on, or one that was made elsewhere, has its message already."""
    assert [w for s in make(m=f"raise{raised}\n") for w in wording.silent_raises(s)] == []


def test_a_key_of_two_texts_is_found(make: Make) -> None:
    """The same key with another English text, in another file, through either form."""
    code = make(a='text("k", "One.")\ntext("k", "One.")\n', b='i18n.Text("k", "Two.")\n')
    assert wording.ambiguous_keys(code) == ["k: p/a.py:1 and p/b.py:1"]


def test_the_ninetieth_percentile_is_what_nine_of_ten_do_not_exceed() -> None:
    """Of ten numbers it is the ninth."""
    assert ninetieth_percentile([*range(1, 10), 100]) == 9
    assert ninetieth_percentile([]) == 0
