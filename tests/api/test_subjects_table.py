"""`list_subjects`: names to estimate, and a table to read."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bigmodel_lab as lab
from bigmodel_lab.cli import main
from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.subjects import SUBJECTS


def line(name: str, shown: str) -> str:
    """The line of a model."""
    (found,) = [line for line in shown.splitlines() if line.startswith(f"{name} ")]
    return found


def test_it_is_a_sequence_of_names():
    """Every member of the family."""
    assert tuple(lab.list_subjects()) == SUBJECTS.names()
    assert "vgg16" in lab.list_subjects()


def test_names_cost_no_torch():
    """Only who looks at the table pays for the models."""
    code = "import sys, bigmodel_lab as lab; print('vgg16' in lab.list_subjects(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "False"]


def test_a_row_tells_what_is_published():
    """Weights, sample, training, what it needs, source."""
    found = line("resnet50", repr(lab.list_subjects()))

    assert all(part in found for part in ("25,557,032", "3×224×224", "SGD", "torch", "He et al. 2016"))


def test_the_package_that_defines_a_model_is_named():
    """Whoever lacks it knows before building."""
    assert " transformers " in line("gpt2", repr(lab.list_subjects()))


def test_every_model_has_a_row_and_no_package_is_loaded_for_it():
    """The table is read where Transformers is not installed."""
    code = """
import sys
sys.modules["transformers"] = None
import bigmodel_lab as lab
print(len(str(lab.list_subjects()).splitlines()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(done.stdout) == 1 + len(SUBJECTS.names())


def test_lines_fit_beside_each_other():
    """What is long is cut in a terminal."""
    assert max(map(len, repr(lab.list_subjects()).splitlines())) <= 160


def test_in_a_notebook_nothing_is_cut():
    """The HTML holds the whole source and has no colours of its own."""
    html = lab.list_subjects()._repr_html_()

    assert "Deep Residual Learning for Image Recognition, table 1, 50-layer" in html
    assert "color:#" not in html


def test_without_torch_the_table_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """The names can still be had."""
    table = lab.list_subjects()
    for name in [name for name in sys.modules if name.startswith("bigmodel_lab.subjects.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(MissingPackageError, match="torch is needed to show the models"):
        repr(table)


def test_the_command_shows_the_table(capsys: pytest.CaptureFixture[str]):
    """`models --large` in a terminal."""
    assert main(["models", "--large"]) == 0
    assert "138,357,544" in line("vgg16", capsys.readouterr().out)
