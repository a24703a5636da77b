"""What importing costs."""

import subprocess
import sys

import pytest

import bigmodel_lab.runlog


def loaded(code):
    """Modules that are loaded after running this code in a fresh interpreter."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_is_light():
    """Neither torch nor Jupyter, and neither SQLite nor psutil before they are needed."""
    modules = loaded("import bigmodel_lab.runlog")
    assert not modules & {
        "torch",
        "IPython",
        "jupyter_core",
        "traitlets",
        "sqlite3",
        "psutil",
        "tensorboard",
        "pyarrow",
    }


def test_recording_needs_neither_torch_nor_jupyter(tmp_path):
    """Also when a run is made."""
    modules = loaded(f"from bigmodel_lab.runlog import RunLog; RunLog.create('x', {str(tmp_path)!r}).close()")
    assert not modules & {"torch", "IPython", "jupyter_core", "traitlets", "tensorboard", "pyarrow"}


@pytest.mark.parametrize("name", bigmodel_lab.runlog.__all__)
def test_every_public_name_exists_and_is_explained(name):
    """Loaded on first use; classes and functions have a docstring of their own."""
    member = getattr(bigmodel_lab.runlog, name)
    assert not callable(member) or member.__doc__ or name == "Axis"


def test_an_unknown_name_is_an_attribute_error():
    """As from any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bigmodel_lab.runlog.nothing  # noqa: B018
