"""IDX files: what is written is read, and what is broken is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmodel_lab.data._idx import find, holds_idx, read_idx
from bigmodel_lab.errors import DataError

TRAIN = "train-images-idx3-ubyte"


def idx(array: np.ndarray) -> bytes:
    """An array in the format."""
    head = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=4), zipped=st.booleans())
def test_what_was_written_is_read(tmp_path, shape, zipped):
    """Any shape comes back, plain or packed, also with no samples."""
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))

    np.testing.assert_array_equal(read_idx(path), array)


def test_the_array_may_be_written(tmp_path):
    """It is no view on the bytes of the file, which torch would warn about."""
    path = tmp_path / "a"
    path.write_bytes(idx(np.zeros(3)))

    assert read_idx(path).flags.writeable


@pytest.mark.parametrize("damage", [slice(12, 40), slice(-8, -4), slice(0, 2)], ids=["data", "checksum", "head"])
def test_a_damaged_archive_is_named(tmp_path, damage):
    """Packed bytes that are damaged anywhere are answered with the file's name."""
    content = bytearray(gzip.compress(idx(np.random.default_rng(0).integers(0, 256, 5000))))
    content[damage] = bytes(255 - byte for byte in content[damage])
    path = tmp_path / "damaged.gz"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"damaged\.gz cannot be read"):
        read_idx(path)


@pytest.mark.parametrize(
    "content",
    [b"\0\0\x08", b"\0\0\x08\0", b"\0\0\x0d\x01\0\0\0\0", b"\0\0\x08\x03\0\0", idx(np.zeros(4)) + b"\0"],
    ids=["short", "no dimension", "floats", "cut sizes", "too long"],
)
def test_a_file_of_another_format_says_how_it_begins(tmp_path, content):
    """The message shows length and first bytes, so that one can see what the file is."""
    path = tmp_path / "other"
    path.write_bytes(content)

    with pytest.raises(DataError, match=rf"it has {len(content)} bytes and begins with \[0, 0"):
        read_idx(path)


@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
@pytest.mark.parametrize("name", [TRAIN, f"{TRAIN}.gz", "train-images.idx3-ubyte"])
def test_every_spelling_is_found(tmp_path: Path, place, name):
    """Copies differ in folder, dot and packing."""
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / name).write_bytes(b"")

    assert find(tmp_path, TRAIN) == tmp_path / place / name
    assert holds_idx(tmp_path)


def test_a_folder_with_the_name_of_a_file_is_none(tmp_path):
    """Some archives unpack into folders that are called like the files."""
    (tmp_path / TRAIN).mkdir()

    assert not holds_idx(tmp_path)
