"""Documentation of the standard library that runs, read from its source files, which are never imported."""

from __future__ import annotations

import ast
import gc
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = ("body", "handlers", "orelse", "finalbody")  # where a statement holds further statements
_TESTS = {"test", "tests", "idle_test"}  # folders inside a package whose texts are about test cases


@dataclass(frozen=True)
class Docstring:
    """The documentation string of a module, class or function."""

    name: str
    """Its name with those of the classes around it, e.g. ``"HTTPConnection.request"``; empty for a module."""
    arguments: tuple[str, ...]
    """Names of the arguments of a function, without ``self`` and ``cls``; empty for others."""
    text: str
    """The documentation string, its white space reduced to single spaces."""


def docstrings(folder: Path, module: str) -> Iterator[list[Docstring]]:
    """The documentation strings of a top-level module or package: of each source file those in it, from top to bottom.

    Args:
        folder: Where the standard library lies, see :func:`library_folder`.
        module: Name in the standard library, e.g. ``"json"``; one that this Python lacks gives nothing.

    Raises:
        DataError: A source file cannot be read as Python.

    >>> next(docstrings(library_folder(), "json"))[0].text[:33]
    'JSON (JavaScript Object Notation)'
    """
    for path in (folder / f"{module}.py", *sorted((folder / module).rglob("*.py"))):
        if path.is_file() and not _TESTS.intersection(path.relative_to(folder).parts):
            tree = read_source(path)
            named = [(tree, ""), *_definitions(tree.body, "")]
            yield [found for node, name in named for found in _documented(node, name)]


def library_folder() -> Path:
    """The folder with the source files of the standard library."""
    return Path(sysconfig.get_path("stdlib"))


def read_source(path: Path) -> ast.Module:
    """The syntax tree of a source file.

    Raises:
        DataError: It is missing, or not Python of this version.
    """
    try:
        with _no_collection():
            return ast.parse(path.read_bytes(), filename=str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            text(
                "error.library_source",
                "{path} of Python's standard library cannot be read: {error}. The embedded texts are made from "
                "it; give data of your own instead, e.g. load_data('path/to/data.txt').",
                path=str(path),
                error=error,
            )
        ) from error


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which would go through a tree again and again while it only grows.

    It would take a third of the time; a syntax tree has no cycles, so there is nothing for it to find.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _definitions(block: Iterable[ast.AST], owner: str) -> Iterator[tuple[_Definition, str]]:
    """Classes and functions in a block, also inside others and under conditions, with their full names."""
    for node in block:
        name = owner
        if isinstance(node, _Definition):
            name = f"{owner}.{node.name}".lstrip(".")
            yield node, name
        for field in _BLOCKS:
            yield from _definitions(getattr(node, field, ()), name)


def _documented(node: ast.Module | _Definition, name: str) -> Iterator[Docstring]:
    """The documentation string of a definition, if it has one."""
    documentation = ast.get_docstring(node, clean=False)
    if documentation:
        yield Docstring(name, _arguments(node), " ".join(documentation.split()))


def _arguments(node: ast.AST) -> tuple[str, ...]:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ()
    found = (argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
    return tuple(name for name in found if name not in {"self", "cls"})
