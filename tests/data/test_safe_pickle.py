"""Pickles from elsewhere: arrays are read, and nothing that a pickle says is run."""

from __future__ import annotations

import builtins
import codecs
import datetime as dt
import functools
import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from bigmodel_lab.data._safe_pickle import read_arrays
from bigmodel_lab.errors import DataError


class Call:
    """Calls a function when it is unpickled the ordinary way."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def written(folder: Path, content: object, protocol: int = 4) -> Path:
    """A pickle file with this content."""
    path = folder / "own"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_every_older_protocol(tmp_path, protocol):
    """Arrays in dicts and lists come back as they were."""
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = read_arrays(written(tmp_path, {"data": array, "labels": [1, 2, 3]}, protocol))

    assert content["labels"] == [1, 2, 3]
    assert np.array_equal(content["data"], array)


@pytest.mark.parametrize("kind", ["<f4", ">i8", "?", "u1"])
def test_types_of_arrays(tmp_path, kind):
    """Values are kept, whatever their type and order of bytes."""
    array = np.arange(4).reshape(2, 2).astype(kind)
    found = read_arrays(written(tmp_path, array))

    assert np.array_equal(found, array)
    assert found.dtype.kind == array.dtype.kind


@pytest.mark.parametrize("content", [1, 2.5, "text", None, True, [1, [2]], (1, "a"), {"a": {"b": 3}}, {4, 5}])
def test_plain_values(tmp_path, content):
    """Numbers, texts and containers need nothing but the pickle itself."""
    assert read_arrays(written(tmp_path, content)) == content


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Call(os.system, "echo run"), "system"),
        (Call(builtins.eval, "1"), "eval"),
        (Call(builtins.exec, "pass"), "exec"),
        (Call(subprocess.check_output, "true"), "check_output"),
        (Call(functools.partial, print), "partial"),
        (Call(np.load, "file.npy"), "load"),
        (Call(getattr, "", "join"), "getattr"),
        (Call(codecs.decode, b"eJwDAAAAAAE=", "base64"), "decode"),
        (OrderedDict(a=1), "OrderedDict"),
        (dt.date(2026, 1, 1), "date"),
        (Path("somewhere"), "Path"),
        (complex(1, 2), "complex"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_other_name_is_refused(tmp_path, call, name):
    """What is not on the short list is refused by name, harmless or not."""
    with pytest.raises(DataError, match=rf"asks for [\w.]*{name}, which is no array"):
        read_arrays(written(tmp_path, [call]))


def test_bytes_for_python_2_have_one_encoding(tmp_path):
    """Other encodings than the one that pickles use, such as those that unpack archives, are refused."""
    with pytest.raises(DataError, match="asks for the encoding 'rot13'"):
        read_arrays(written(tmp_path, Call(codecs.encode, "text", "rot13")))


def test_nothing_is_run_before_it_is_refused(tmp_path):
    """A call that stands before an array in the file is not made."""
    mark = tmp_path / "mark"
    path = written(tmp_path, [Call(os.mkdir, str(mark)), np.zeros(3)])

    with pytest.raises(DataError):
        read_arrays(path)
    assert not mark.exists()


def test_a_file_that_does_not_exist(tmp_path):
    """A missing file is a fault of the data, with its name."""
    with pytest.raises(DataError, match="missing cannot be read"):
        read_arrays(tmp_path / "missing")


def test_the_cause_is_kept(tmp_path):
    """What Python said first can still be seen."""
    with pytest.raises(DataError) as caught:
        read_arrays(written(tmp_path, Call(os.getpid)))

    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)
