"""The architecture, held by a machine: who may import whom, what importing costs, and the budgets of the code.

The parts and their order are drawn in ARCHITECTURE.md. Every failure names file and line.
"""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bigmodel_lab
from tests.architecture import imports, wording
from tests.architecture.sources import Source, ninetieth_percentile, sources

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bigmodel_lab"
CODE = sources(PACKAGE, ROOT)
FUNCTIONS = [function for source in CODE for function in source.functions()]

LAYERS = [
    ["i18n"],
    ["errors"],
    ["units"],
    ["_family", "_table", "metrics"],
    ["runlog"],
    ["memory"],
    ["trace"],
    ["samplers", "models", "subjects", "data", "charts"],
    ["training"],
    ["estimate", "profiling", "compress", "scale"],
    ["_virtual_gpu"],
    ["tips"],
    ["widgets", "server"],
    ["_doctor"],
    ["api", "_demo"],
    ["cli"],
    ["__main__"],
]
"""Low to high. A part imports only lower ones; parts of one line never import each other."""
PURE = {name for names in LAYERS[: LAYERS.index(["widgets", "server"])] for name in names}
JUPYTER = ["ipywidgets", "anywidget", "IPython", "ipykernel", "jupyter", "traitlets", "comm", "nbformat", "nbconvert"]
WITHOUT_TORCH = ["samplers", "runlog", "charts", "memory", "server", "metrics", "units"]
IMPORT_BUDGET_S = 0.150


def python(code: str) -> str:
    """Output of a fresh interpreter."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def rings(edges: dict[str, set[str]]) -> list[str]:
    """Each group of modules that import each other, as one line."""
    return [" and ".join(group) for group in imports.cycles(edges)]


def none(found: list[str]) -> None:
    """Fails with every place on a line of its own."""
    assert not found, "\n".join(["", *found])


# ---------------------------------------------------------------- imports


def test_every_part_has_its_layer() -> None:
    """A new file or folder of the package is written into the list of layers above."""
    none(imports.unlayered(CODE, LAYERS))


def test_imports_run_one_way() -> None:
    """A lower layer never imports a higher one, nor one beside it."""
    none(imports.layer_violations(CODE, LAYERS))


def test_no_modules_import_each_other() -> None:
    """There is no cycle, neither when importing nor inside functions nor for the type checker."""
    inside = [source for source in CODE if source.module != "bigmodel_lab"]  # which names its parts for type checkers
    none(rings(imports.graph(inside)))


def test_no_cycle_at_import_time_with_the_package_itself() -> None:
    """Importing the package imports none of its parts, so no part can come back to it half-made."""
    none(rings(imports.graph(CODE, at_import_time=True)))


def test_no_parts_import_each_other() -> None:
    """Seen as whole folders, there is no cycle either."""
    none(rings(imports.sub_packages(imports.graph(CODE))))


def test_below_the_widgets_nothing_knows_jupyter() -> None:
    """Training, run files and charts work in a plain script: no import of Jupyter, not even inside a function."""
    none(imports.outside(CODE, PURE, JUPYTER))


def test_below_the_widgets_nothing_draws() -> None:
    """Charts are data; matplotlib belongs to the widgets."""
    none(imports.outside(CODE, PURE, ["matplotlib"]))


def test_the_server_and_the_charts_know_no_torch() -> None:
    """The Jupyter server must not load PyTorch to show a run."""
    none(imports.outside(CODE, {"server", "charts", "runlog"}, ["torch"]))


@pytest.mark.parametrize("part", [name for name in WITHOUT_TORCH if list(PACKAGE.glob(f"{name}*"))])
def test_a_part_imports_without_torch(part: str) -> None:
    """Every module of these parts imports where PyTorch is not installed."""
    modules = [s.module for s in CODE if s.module.split(".")[1:2] == [part]]
    python(
        "import importlib, sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'torch': raise ModuleNotFoundError('no torch here', name='torch')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import bigmodel_lab` loads neither PyTorch nor NumPy nor anything of Jupyter."""
    heavy = ["torch", "numpy", "matplotlib", *JUPYTER]
    loaded = json.loads(python("import sys, json, bigmodel_lab; print(json.dumps(sorted(sys.modules)))"))
    none([name for name in loaded if name in heavy])


def test_importing_the_package_is_quick() -> None:
    """`import bigmodel_lab` takes at most 150 ms beyond a bare interpreter; the best of five, as others use the machine."""
    code = "import time; start = time.perf_counter(); import bigmodel_lab; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(5)) <= IMPORT_BUDGET_S


# ---------------------------------------------------------------- the public names


def test_no_public_name_is_a_submodule_too() -> None:
    """`lab.models` is the folder or a function, never either depending on what was imported before."""
    parts = {source.module.split(".")[1] for source in CODE if "." in source.module}
    assert set(bigmodel_lab.__all__) & parts == set()


def test_every_public_name_can_be_had() -> None:
    """Each name of ``__all__`` is there, and ``dir`` shows it."""
    none([name for name in bigmodel_lab.__all__ if not hasattr(bigmodel_lab, name)])
    assert set(bigmodel_lab.__all__) <= set(dir(bigmodel_lab))


def test_every_public_function_has_an_example() -> None:
    """The docstring of each public function shows how it is used; a class is shown by the function that makes it."""
    functions = {n: f for n in bigmodel_lab.__all__ if inspect.isfunction(f := getattr(bigmodel_lab, n))}
    texts = {name: inspect.getdoc(function) or "" for name, function in functions.items()}
    assert len(texts) > 5
    none([f"lab.{name}" for name, text in texts.items() if ">>>" not in text and "::" not in text])


# ---------------------------------------------------------------- budgets


def test_no_file_is_long() -> None:
    """A file holds one concept, in at most 400 lines."""
    none([f"{source.name}: {source.lines} lines" for source in CODE if source.lines > 400])


def test_no_function_is_long() -> None:
    """No function body has more than 60 lines."""
    none([f"{f.where}: {f.body_lines} lines" for f in FUNCTIONS if f.body_lines > 60])


def test_most_functions_are_short() -> None:
    """Nine of ten function bodies have at most 30 lines."""
    longest = sorted(FUNCTIONS, key=lambda f: -f.body_lines)[:10]
    assert ninetieth_percentile([f.body_lines for f in FUNCTIONS]) <= 30, [f.where for f in longest]


def test_most_functions_are_simple() -> None:
    """Nine of ten functions have a complexity of at most 7."""
    hardest = sorted(FUNCTIONS, key=lambda f: -f.complexity)[:10]
    assert ninetieth_percentile([f.complexity for f in FUNCTIONS]) <= 7, [f.where for f in hardest]


def test_everything_is_typed() -> None:
    """Every parameter and every return has its annotation."""
    none([f.where for f in FUNCTIONS if not f.typed])


def test_every_module_says_what_it_is() -> None:
    """Every module has a docstring."""
    none([source.name for source in CODE if not ast.get_docstring(source.tree)])


def test_everything_public_is_documented() -> None:
    """Every public function, method and class has a docstring."""
    functions = [f.where for f in FUNCTIONS if f.public and not f.documented]
    classes = [source.at(n) for source in CODE for n in source.public_classes() if not ast.get_docstring(n)]
    none(functions + classes)


def test_no_handler_swallows_everything() -> None:
    """An error that nobody thought of is shown, not swallowed."""
    none([where for source in CODE for where in wording.blanket_handlers(source)])


def test_every_error_has_a_message() -> None:
    """Nothing is raised without a word."""
    none([where for source in CODE for where in wording.silent_raises(source)])


def test_a_message_key_has_one_text() -> None:
    """Translators see each key once: it never stands for two English texts."""
    none(wording.ambiguous_keys(CODE))


def test_there_is_as_much_test_as_code() -> None:
    """The tests have at least as many lines as the code."""

    def lines(some: list[Source]) -> int:
        return sum(source.code_lines for source in some)

    assert lines(sources(ROOT / "tests", ROOT)) >= lines(CODE)
