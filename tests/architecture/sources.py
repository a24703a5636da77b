"""Python files as syntax trees, with the measures that the budgets are about."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
DECISIONS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.Assert, ast.comprehension)
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def docstring_lines(node: ast.AST) -> set[int]:
    """The lines that a node's docstring covers; empty where it has none."""
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return set()


@dataclass(frozen=True)
class Measured:
    """One function or method."""

    where: str
    """``file:line name``."""
    node: Function
    in_class: bool
    public: bool

    @property
    def body_lines(self) -> int:
        """Lines without the docstring."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1 - len(docstring_lines(self.node))

    @property
    def complexity(self) -> int:
        """McCabe's count: one, and one for every decision."""
        count = 1
        for node in ast.walk(self.node):
            count += isinstance(node, (*DECISIONS, ast.match_case))
            count += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
        return count

    @property
    def documented(self) -> bool:
        """Whether there is a docstring."""
        return bool(docstring_lines(self.node))

    @property
    def typed(self) -> bool:
        """Whether every parameter and the return are annotated."""
        arguments = self.node.args
        named = [*arguments.posonlyargs, *arguments.args]
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in self.node.decorator_list)
        named = named[1:] if self.in_class and not static else named
        stars = [star for star in (arguments.vararg, arguments.kwarg) if star]
        annotated = all(argument.annotation for argument in [*named, *arguments.kwonlyargs, *stars])
        return annotated and (self.node.returns is not None or self.node.name == "__init__")


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    root: Path

    @property
    def name(self) -> str:
        """Path seen from the root, for messages."""
        return str(self.path.relative_to(self.root))

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        parts = list(self.path.relative_to(self.root).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        """What stands in the file."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        """All lines."""
        return len(self.text.splitlines())

    @property
    def code_lines(self) -> int:
        """Lines that hold something other than a comment or a docstring."""
        holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        documentation = {line for n in ast.walk(self.tree) if isinstance(n, holders) for line in docstring_lines(n)}
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        held = {n for t in tokens if t.type not in NOT_CODE for n in range(t.start[0], t.end[0] + 1)}
        return len(held - documentation)

    def at(self, node: ast.AST) -> str:
        """``file:line`` of a node."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"

    def functions(self) -> Iterator[Measured]:
        """Every function and method, nested ones too."""
        return self._functions(self.tree, in_class=False, public=True)

    def _functions(self, node: ast.AST, *, in_class: bool, public: bool) -> Iterator[Measured]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                open_ = public and not child.name.startswith("_")
                yield Measured(f"{self.at(child)} {child.name}", child, in_class, open_)
                yield from self._functions(child, in_class=False, public=False)
            elif isinstance(child, ast.ClassDef):
                yield from self._functions(child, in_class=True, public=public and not child.name.startswith("_"))
            else:
                yield from self._functions(child, in_class=in_class, public=public)

    def public_classes(self) -> Iterator[ast.ClassDef]:
        """Classes of the module's top level without a leading underscore."""
        return (n for n in self.tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_"))


def sources(folder: Path, root: Path) -> list[Source]:
    """Every Python file of a folder, seen from a root."""
    return [Source(path, root) for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]


def ninetieth_percentile(numbers: list[int]) -> int:
    """The value that nine of ten do not exceed; 0 where there are none."""
    return sorted(numbers)[max(0, -(-len(numbers) * 9 // 10) - 1)] if numbers else 0
