"""Who imports whom, read from the files: layers, cycles, and what a layer may reach outside the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.architecture.sources import Source


@dataclass(frozen=True)
class Import:
    """One imported module, where it is written."""

    where: str
    """``file:line``."""
    importer: str
    target: str
    """Dotted name as far as the statement gives it; may name something inside a module."""
    at_import_time: bool
    """False inside functions and ``if TYPE_CHECKING:``."""


def imports(source: Source) -> Iterator[Import]:
    """Every import of a file."""
    return _imports(source, source.tree, at_import_time=True)


def _imports(source: Source, node: ast.AST, *, at_import_time: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(source.at(child), source.module, alias.name, at_import_time)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(source, child)
            for alias in child.names:
                yield Import(source.at(child), source.module, f"{base}.{alias.name}", at_import_time)
        else:
            later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or _is_type_checking(child)
            yield from _imports(source, child, at_import_time=at_import_time and not later)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    above = node.level - (source.path.name == "__init__.py")
    return ".".join([*parts[: len(parts) - above], *([node.module] if node.module else [])])


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def module_of(target: str, modules: Mapping[str, object] | set[str]) -> str | None:
    """The module inside the project that a dotted name leads to, or None for one outside."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target or None


def graph(code: Sequence[Source], *, at_import_time: bool = False) -> dict[str, set[str]]:
    """The modules that each module imports; on request only what happens when it is imported."""
    edges: dict[str, set[str]] = {source.module: set() for source in code}
    for source in code:
        for found in imports(source):
            target = module_of(found.target, edges)
            if target and target != source.module and (found.at_import_time or not at_import_time):
                edges[source.module].add(target)
    return edges


def sub_packages(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same graph, one level below the top package; the top package itself only re-exports."""
    joined: dict[str, set[str]] = {}
    for module, targets in edges.items():
        if "." in module:
            here = module.split(".")[1]
            joined.setdefault(here, set()).update(t.split(".")[1] for t in targets if "." in t)
            joined[here].discard(here)
    return joined


def cycles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""
    reach = {node: _reachable(edges, node) for node in edges}
    groups = {
        frozenset(other for other in reach[node] if node in reach[other]) for node in edges if node in reach[node]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(edges: Mapping[str, set[str]], start: str) -> set[str]:
    todo, found = list(edges[start]), set[str]()
    while todo:
        node = todo.pop()
        if node not in found and node in edges:
            found.add(node)
            todo.extend(edges[node])
    return found


def layer_violations(code: Sequence[Source], layers: Sequence[Sequence[str]]) -> list[str]:
    """Imports of a higher layer by a lower one, and between two that share a layer."""
    level = {name: height for height, names in enumerate(layers) for name in names}
    modules = {source.module for source in code}
    found = []
    for source in code:
        here = _child(source.module)
        for one in imports(source):
            there = _child(module_of(one.target, modules) or "")
            if here and there and here != there and level.get(there, -1) >= level.get(here, len(layers)):
                found.append(f"{one.where} {here} imports {there}, which is not below it")
    return found


def unlayered(code: Sequence[Source], layers: Sequence[Sequence[str]]) -> list[str]:
    """Parts of the package that the list of layers does not name."""
    named = {name for names in layers for name in names}
    return sorted({child for source in code if (child := _child(source.module)) and child not in named})


def outside(code: Sequence[Source], parts: set[str], forbidden: Sequence[str]) -> list[str]:
    """Imports of forbidden packages anywhere in these parts of the package, inside functions too."""
    return [
        f"{one.where} imports {one.target}"
        for source in code
        if _child(source.module) in parts
        for one in imports(source)
        if any(one.target.split(".")[0].startswith(name) for name in forbidden)
    ]


def _child(module: str) -> str:
    """Name of the part below the top package; empty for the top package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""
