"""CIFAR-10 from a folder of either version and through the library, and what is said when a file is broken."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from bigmodel_lab.data import DATASETS, Division, load_data
from bigmodel_lab.data._safe_pickle import read_arrays
from bigmodel_lab.data.cifar10 import CLASS_NAMES, holds_cifar10, load, load_folder
from bigmodel_lab.errors import DataError, MissingPackageError

NAMES = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
COUNT = 20  # images a file
KEEP = Division(validation_fraction=0)


def batch(nth: int) -> tuple[np.ndarray, list[int]]:
    """Pixels and labels of one file."""
    pixels = np.random.default_rng(nth).integers(0, 256, (COUNT, 3072), np.uint8)
    return pixels, [int(n) for n in np.arange(COUNT) % 10]


class PythonTwo(pickle._Pickler):
    """Writes texts and bytes as Python 2 did, which made the files that people have."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012 (the class of the standard library has it so)

    def save_string(self, value):
        """A byte string without encoding."""
        content = value if isinstance(value, bytes) else value.encode("ascii")
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def write_python(folder: Path, *, old: bool = False) -> Path:
    """The six files of the Python version."""
    folder.mkdir(parents=True, exist_ok=True)
    for nth, name in enumerate(NAMES):
        pixels, labels = batch(nth)
        with (folder / name).open("wb") as file:
            content = {"batch_label": name, "labels": labels, "data": pixels, "filenames": ["a.png"] * COUNT}
            (PythonTwo(file, 2) if old else pickle.Pickler(file, 4)).dump(content)
    return folder


def write_binary(folder: Path) -> Path:
    """The six files of the binary version."""
    folder.mkdir(parents=True, exist_ok=True)
    for nth, name in enumerate(NAMES):
        pixels, labels = batch(nth)
        rows = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    return folder


@pytest.mark.parametrize("write", [write_python, write_binary])
def test_both_versions_give_the_same_images(tmp_path, write):
    """Five files train, one tests; classes have their names."""
    data = load_folder(write(tmp_path), KEEP)

    assert (len(data.train), len(data.test), data.input_shape) == (5 * COUNT, COUNT, (3, 32, 32))
    assert torch.equal(data.test.x, torch.from_numpy(batch(5)[0]).reshape(-1, 3, 32, 32))
    assert data.test.y.tolist() == batch(5)[1]
    assert data.class_names == CLASS_NAMES


def test_files_written_by_python_2(tmp_path):
    """The files of the authors' page were written by Python 2, with byte strings for keys and pixels."""
    data = load_folder(write_python(tmp_path, old=True), KEEP)

    assert torch.equal(data.test.x, torch.from_numpy(batch(5)[0]).reshape(-1, 3, 32, 32))


def test_a_pixel_lies_where_it_should(tmp_path):
    """A file holds the red plane first, each plane row by row."""
    data = load_folder(write_binary(tmp_path), KEEP)
    flat = batch(5)[0][7]

    assert int(data.test.x[7, 2, 4, 9]) == flat[2 * 1024 + 4 * 32 + 9]


@pytest.mark.parametrize(
    ("write", "inner"), [(write_python, "cifar-10-batches-py"), (write_binary, "cifar-10-batches-bin")]
)
def test_the_unpacked_archive_is_found(tmp_path, write, inner):
    """The folder in which the archive was unpacked serves too."""
    write(tmp_path / inner)

    assert holds_cifar10(tmp_path)
    assert len(load_folder(tmp_path, KEEP).train) == 5 * COUNT


def test_a_missing_file_is_named(tmp_path):
    """One missing file of the six is named."""
    (write_python(tmp_path) / "data_batch_3").unlink()

    with pytest.raises(DataError, match=r"has no file 'data_batch_3'"):
        load_folder(tmp_path, KEEP)


def test_a_folder_that_does_not_exist(tmp_path):
    """A folder that is none is said to be none."""
    assert not holds_cifar10(tmp_path / "no")
    with pytest.raises(DataError, match="is no folder with 'data_batch_1'"):
        load_folder(tmp_path / "no", KEEP)


def test_a_cut_off_binary_file_is_named(tmp_path):
    """A file that is no whole number of images is named, with its length."""
    path = write_binary(tmp_path) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(DataError, match=f"data_batch_2.bin is not a whole file.*{COUNT * 3073 - 1} bytes"):
        load_folder(tmp_path, KEEP)


@pytest.mark.parametrize(
    "content",
    [
        ["a", "list"],
        {"data": np.zeros((2, 3072), np.uint8)},
        {"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]},
        {"data": np.zeros((2, 100), np.uint8), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": "01"},
    ],
    ids=["no dict", "no labels", "no bytes", "other size", "label 10", "one label", "text"],
)
def test_a_pickle_of_something_else_is_named(tmp_path, content):
    """A readable pickle that holds no such images is refused, with what is expected."""
    (write_python(tmp_path) / "data_batch_1").write_bytes(pickle.dumps(content, 4))

    with pytest.raises(DataError, match=r"data_batch_1 is not a whole file of CIFAR-10.*label 0 … 9"):
        load_folder(tmp_path, KEEP)


class Attack:
    """Runs a command when it is unpickled the ordinary way."""

    def __reduce__(self):
        return os.system, ("echo broken into",)


def test_a_pickle_never_runs_anything(tmp_path):
    """A pickle that names a function is refused before the function is looked up."""
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": Attack()}))

    with pytest.raises(DataError, match=r"asks for (posix|nt)\.system, which is no array"):
        read_arrays(path)


@pytest.mark.parametrize("content", [b"", b"\x80", b"nonsense", pickle.dumps(np.zeros(9), 4)[:-20]])
def test_a_broken_pickle_is_named(tmp_path, content):
    """Bytes that are no pickle, or the beginning of one, are answered with the file's name."""
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"data_batch_1 cannot be read.*cut off"):
        read_arrays(path)


def fake_library(monkeypatch, load_dataset) -> None:
    """Stands in for the Hugging Face library."""
    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_through_the_library(monkeypatch):
    """Images of the library, height by width by colour, become samples with the colour first."""
    image = np.arange(32 * 32 * 3, dtype=np.int64).reshape(32, 32, 3).astype(np.uint8)
    part = {"img": [image] * 20, "label": [n % 10 for n in range(20)]}
    fake_library(monkeypatch, lambda name: {"train": part, "test": part} if name == "uoft-cs/cifar10" else None)
    data = load(KEEP)

    assert (data.name, data.input_shape, data.class_names[3]) == ("cifar10", (3, 32, 32), "cat")
    assert data.test.x[0, 1, 2, 3] == image[2, 3, 1]


def test_without_network_the_other_ways_are_named(monkeypatch):
    """A download that fails is answered with the folder and with the embedded images of the same shape."""

    def refuse(name):
        raise ConnectionError("no route")

    fake_library(monkeypatch, refuse)

    with pytest.raises(DataError, match=r"uoft-cs/cifar10.*no route.*load_data\('path/to/folder'\).*drawn_shapes"):
        load(KEEP)


def test_without_the_library_the_install_line_is_named(monkeypatch):
    """The message says how to get the library."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[data\]"):
        load(KEEP)


def test_the_right_number_of_images_is_documented():
    """The document counts 6,000 training images a class; there are 5,000."""
    assert "5,000 a class" in str(DATASETS.get("cifar10").meaning)


@pytest.mark.parametrize("write", [write_python, write_binary])
def test_a_path_to_the_files_is_data(tmp_path, write):
    """The one door for data opens either version; validation images come from the training images."""
    data = load_data(write(tmp_path), validation_fraction=0.2)

    assert {name: len(split) for name, split in data.splits.items()} == {"train": 80, "validation": 20, "test": 20}
