"""One door for all data: names, paths, arrays, and what is said when they cannot be read."""

from __future__ import annotations

import gzip
import sys
import types
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from bigmodel_lab.data import DATASETS, Division, load_data
from bigmodel_lab.data._idx import NAMES
from bigmodel_lab.errors import (
    ConfigError,
    DataError,
    LabelRangeError,
    MissingPackageError,
    ShapeError,
    UnknownNameError,
)


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, *, zipped: bool = False, train: int = 50, test: int = 20) -> np.ndarray:
    """A small data set in MNIST's format; returns its training images."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {}
    for split, count in (("train", train), ("test", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28))
        for name, array in zip(NAMES[split], (images, np.arange(count) % 10), strict=True):
            content = idx(array)
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
        kept[split] = images
    return kept["train"]


def test_family_of_data_sets():
    """Names come from the files in the folder."""
    assert {"digits", "mnist"} <= set(DATASETS.names())
    assert [DATASETS.get(name).name for name in DATASETS.names()] == list(DATASETS.names())


def test_nothing_means_the_embedded_digits():
    """Without data there are 1797 real digits of 28×28 pixels, divided."""
    data = load_data()

    assert (data.name, data.input_shape, data.classes) == ("digits", (1, 28, 28), 10)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 1455, "validation": 162, "test": 180}
    assert data.train.x.dtype == torch.uint8
    assert (int(data.train.x.min()), int(data.train.x.max())) == (0, 255)


def test_digits_are_stratified():
    """Every part holds every digit in the same proportion, to within one sample."""
    data = load_data()
    whole = sum(split.y.bincount(minlength=10) for split in data.splits.values())

    for split in data.splits.values():
        expected = whole * len(split) / 1797
        assert (split.y.bincount(minlength=10) - expected).abs().max() <= 1.5


def test_division_depends_on_the_seed_alone():
    """The same seed gives the same parts; another gives others."""
    first, again, other = (load_data("digits", seed=seed).test.x for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parts_share_no_sample():
    """All 1797 samples are there once."""
    whole = torch.cat([split.x.flatten(1) for split in load_data().splits.values()])

    assert len(whole) == 1797
    assert len(whole.unique(dim=0)) > 1790


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_mnist_from_a_folder(tmp_path, zipped, place):
    """IDX files are found plain or zipped, and where torchvision puts them; test images stay test images."""
    write_mnist(tmp_path / place, zipped=zipped)
    data = load_data(str(tmp_path))

    assert {name: len(split) for name, split in data.splits.items()} == {"train": 45, "validation": 5, "test": 20}
    assert (data.input_shape, data.classes) == ((1, 28, 28), 10)


def test_pixels_of_a_folder_arrive_unchanged(tmp_path):
    """Every training image is among the training and validation samples, to the pixel."""
    images = write_mnist(tmp_path)
    data = load_data(tmp_path)

    found = torch.cat((data.train.x, data.validation.x)).flatten(1).long().sum(1).sort().values
    assert found.tolist() == sorted(images.reshape(50, -1).sum(1).tolist())


def test_folder_without_files_names_what_was_looked_for(tmp_path):
    """An empty folder is answered with the file names."""
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("file", "reader"),
    [
        ("data_batch_1", "cifar10.load_folder"),
        ("cifar-10-batches-py/data_batch_1", "cifar10.load_folder"),
        ("cats/1.png", "_image_folder.read_image_folder"),
        ("train/cats/1.JPG", "_image_folder.read_image_folder"),
        ("raw/train-images-idx3-ubyte.gz", "mnist.load_folder"),
    ],
)
def test_folder_goes_to_its_reader(tmp_path, monkeypatch, file, reader):
    """What lies in a folder says how it is read."""
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    digits = load_data()
    monkeypatch.setattr(f"bigmodel_lab.data.{reader}", lambda folder, _: digits if folder == tmp_path else None)

    assert load_data(tmp_path) is digits


def test_folder_of_no_known_kind_names_all(tmp_path):
    """The message lists every kind of folder that is read."""
    (tmp_path / "notes.md").touch()

    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.*data_batch_1.*one folder of images a class"):
        load_data(tmp_path)


def test_missing_companion_is_named(tmp_path):
    """One missing file of the four is named."""
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()

    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        load_data(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"not an idx file", idx(np.zeros((9, 28, 28)))[:-1]])
def test_broken_file_is_named(tmp_path, content):
    """A file that is cut off or of another kind is named, with its length."""
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)

    with pytest.raises(DataError, match=f"train-images-idx3-ubyte is not a whole IDX file.*{len(content)} bytes"):
        load_data(tmp_path)


def test_broken_gzip_is_named(tmp_path):
    """A zipped file that is cut off is named."""
    write_mnist(tmp_path, zipped=True)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-6])

    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz cannot be read"):
        load_data(tmp_path)


def test_path_that_does_not_exist():
    """A path is never taken for the name of a data set."""
    with pytest.raises(DataError, match="no/such/folder does not exist"):
        load_data("no/such/folder")


def test_unknown_name_suggests_the_nearest():
    """A misspelt data set is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match="'mnist'"):
        load_data("minst")


def test_mnist_without_the_library_names_the_install_line(monkeypatch):
    """Without the Hugging Face library the message says how to get it."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[data\]"):
        load_data("mnist")


def test_digits_without_scikit_learn_name_the_install_line(monkeypatch):
    """Without scikit-learn the message says how to get it."""
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        load_data("digits")


def fake_library(monkeypatch: pytest.MonkeyPatch, load_dataset) -> None:
    """Stands in for the Hugging Face library."""
    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_mnist_through_the_library(monkeypatch):
    """Images and labels of the library become samples with a channel."""
    part = {"image": [np.full((28, 28), i, np.uint8) for i in range(30)], "label": [i % 10 for i in range(30)]}
    fake_library(monkeypatch, lambda name: {"train": part, "test": part} if name == "ylecun/mnist" else None)
    data = load_data("mnist")

    assert (data.name, data.input_shape, len(data.test)) == ("mnist", (1, 28, 28), 30)


def test_mnist_without_network_says_the_other_way(monkeypatch):
    """A download that fails is answered with its cause and the folder of IDX files."""

    def refuse(name: str) -> None:
        raise ConnectionError("no route")

    fake_library(monkeypatch, refuse)

    with pytest.raises(DataError, match=r"ylecun/mnist.*no route.*IDX"):
        load_data("mnist")


@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train")])
def test_npz_file(tmp_path, keys):
    """A NumPy file with samples and labels is read."""
    path = tmp_path / "own.npz"
    np.savez(path, **dict(zip(keys, (np.zeros((20, 3)), np.arange(20) % 4), strict=True)))
    data = load_data(path)

    assert (data.name, data.classes, data.input_shape) == ("own", 4, (3,))


def test_npz_with_other_keys_names_those_that_are_needed(tmp_path):
    """Keys that came and keys that are needed stand in the message."""
    np.savez(tmp_path / "own.npz", pixels=np.zeros(3))

    with pytest.raises(DataError, match=r"\['pixels'\]; needed are x and y"):
        load_data(tmp_path / "own.npz")


def test_npz_that_is_none(tmp_path):
    """A file that only has the name of a NumPy file is named."""
    (tmp_path / "own.npz").write_bytes(b"PK but no archive")

    with pytest.raises(DataError, match=r"own\.npz cannot be read"):
        load_data(tmp_path / "own.npz")


def test_input_shape_adds_the_channel():
    """Grey images suit a model that wants one channel."""
    assert load_data((np.zeros((20, 28, 28)), np.arange(20) % 10), input_shape=(1, 28, 28)).input_shape == (1, 28, 28)


def test_input_shape_that_does_not_fit_names_both():
    """Both shapes stand in the message."""
    with pytest.raises(ShapeError, match=r"\(32, 32, 3\); the model takes \(1, 28, 28\)"):
        load_data((np.zeros((20, 32, 32, 3)), np.arange(20) % 10), input_shape=(1, 28, 28))


def test_classes_bound_the_labels():
    """A label that the model has no class for is named with its position."""
    with pytest.raises(LabelRangeError, match=r"outside 0 … 9: y\[10\] = 10"):
        load_data((np.zeros((11, 4)), np.arange(11)), classes=10, validation_fraction=0, test_fraction=0)


def test_loaded_data_passes_through():
    """Data that is loaded already is taken as it is."""
    data = load_data()

    assert load_data(data) is data


@pytest.mark.parametrize("share", [-0.1, 1, 2.5])
def test_impossible_division(share):
    """A share must leave something to train on."""
    with pytest.raises(ConfigError, match=f"test_fraction is {share}"):
        Division(test_fraction=share)


@pytest.mark.parametrize("name", ["a" * 300, "", "no\0name"])
def test_a_text_that_is_no_name_of_a_file(name):
    """A text that no file can be called is an unknown name, not an error of the operating system."""
    with pytest.raises(UnknownNameError, match="no data set named"):
        load_data(name)


def test_a_document_in_the_place_of_its_path():
    """Whoever gives a long text with a full stop learns that paths are expected."""
    with pytest.raises(DataError, match=r"does not exist\. Data is read from a file with the suffix"):
        load_data("It was a long day. " * 30)


def array_file() -> bytes:
    """One bare array, as ``numpy.save`` writes it."""
    file = BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04", array_file()])
def test_a_file_that_is_no_npz(tmp_path, content):
    """Nothing, nonsense, the beginning of an archive and a bare array are all answered with the file's name."""
    path = tmp_path / "own.npz"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"own\.npz cannot be read"):
        load_data(path)


def test_an_npz_with_a_damaged_array(tmp_path):
    """Compressed bytes that make no sense are answered with the file's name."""
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((1000, 5)), y=np.zeros(1000))
    content = bytearray(path.read_bytes())
    content[2000:2100] = b"\xff" * 100
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"own\.npz cannot be read"):
        load_data(path)


def test_an_npz_of_objects_runs_nothing(tmp_path):
    """Arrays of Python objects, which could run a program, are refused."""
    path = tmp_path / "own.npz"
    np.savez(path, x=np.array([{}, {}], dtype=object), y=np.zeros(2))

    with pytest.raises(DataError, match="allow_pickle"):
        load_data(path)


def test_labels_without_their_samples_in_an_npz(tmp_path):
    """A test part of labels alone is no part; what is whole is read."""
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.zeros((10, 2)), y_train=np.arange(10) % 2, y_test=np.arange(3))

    assert len(load_data(path).test) == 0


def test_a_suffix_in_capitals(tmp_path):
    """Files from cameras and Windows are read too."""
    path = tmp_path / "OWN.NPZ"
    with path.open("wb") as file:
        np.savez(file, x=np.zeros((10, 2)), y=np.arange(10) % 2)

    assert load_data(path).name == "OWN"
