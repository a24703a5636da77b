"""The package itself: its public names, and how little importing it costs."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import bigmodel_lab as lab

HEAVY = ("torch", "IPython", "ipywidgets", "anywidget", "traitlets", "numpy", "matplotlib", "sqlite3")


def in_fresh_python(code: str) -> str:
    """What this code prints in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    """`import bigmodel_lab` costs neither torch nor Jupyter nor NumPy."""
    code = "import sys, json; import bigmodel_lab; print(json.dumps(sorted(sys.modules)))"

    assert not set(HEAVY) & set(json.loads(in_fresh_python(code)))


def test_import_takes_at_most_150_ms():
    """The best of three imports in fresh interpreters stays below 150 ms."""
    code = "import time; t = time.perf_counter(); import bigmodel_lab; print(time.perf_counter() - t)"

    assert min(float(in_fresh_python(code)) for _ in range(3)) < 0.150


def test_listing_the_models_needs_no_jupyter():
    """A script that uses only the models does not load Jupyter."""
    code = "import sys, bigmodel_lab.models as m; m.MODELS.names(); print('IPython' in sys.modules)"

    assert in_fresh_python(code).strip() == "False"


@pytest.mark.parametrize("name", lab.__all__)
def test_public_name_has_a_docstring_with_an_example(name: str):
    """Every public name says what it is; functions and runs show an example that runs as a test."""
    docs = inspect.getdoc(getattr(lab, name)) or ""

    assert docs
    assert not inspect.isfunction(getattr(lab, name)) or ">>>" in docs


def test_dir_lists_every_public_name():
    """Tab completion offers what is not loaded yet."""
    assert set(lab.__all__) <= set(dir(lab))


def test_public_names_are_those_with_a_home():
    """The list of names and the table of where they live agree."""
    assert set(lab._HOMES) == set(lab.__all__)


def test_an_unknown_attribute_lists_what_exists():
    """A misspelt name is answered with the public ones."""
    with pytest.raises(AttributeError, match=r"no attribute 'fitt'; it has: .*\bfit\b"):
        lab.fitt  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("package", "name", "line"),
    [
        ("torch", "fit", 'pip install "bigmodel_lab[train]"'),
        ("lightning", "LightningCallback", "pip install"),
        ("transformers", "TransformersCallback", "pip install"),
    ],
)
def test_a_missing_package_is_named_at_first_use(package: str, name: str, line: str):
    """Without an optional package the name that needs it says what to install."""
    code = f"""
import sys
sys.modules[{package!r}] = None  # as if it were not installed
import bigmodel_lab as lab
from bigmodel_lab.errors import MissingPackageError
try:
    print("no error:", lab.{name}())
except MissingPackageError as error:
    print(error)
"""
    assert line in in_fresh_python(code)


def test_gpus_needs_no_torch():
    """Who is on the cards can be asked where PyTorch is not installed."""
    code = """
import sys
sys.modules["torch"] = None
import bigmodel_lab as lab
table = lab.gpus()
print(bool(table.cards) or bool(table.reason))
"""
    assert in_fresh_python(code).strip() == "True"


def test_version_is_the_one_of_the_installed_distribution():
    """Package and metadata carry one version."""
    from importlib.metadata import version

    assert lab.__version__ == version("bigmodel_lab")
