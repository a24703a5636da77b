"""Images in folders by class: layouts, sizes, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bigmodel_lab.data import Division, _image_folder, load_data
from bigmodel_lab.data._image_folder import holds_images, read_image_folder
from bigmodel_lab.errors import DataError, EmptyDataError, MissingPackageError

KEEP = Division(validation_fraction=0, test_fraction=0)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path: Path, colour=RED, size=(12, 8), mode="RGB", **options) -> Path:
    """One image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Ten red and ten blue images of 12×8 pixels."""
    for n in range(10):
        save(tmp_path / "warm" / f"{n}.png", RED)
        save(tmp_path / "cold" / f"{n}.png", BLUE)
    return tmp_path


def test_a_folder_is_a_class(folder):
    """Classes are the folders in alphabetical order; images have colour, height, width."""
    data = read_image_folder(folder, KEEP)

    assert data.class_names == ("cold", "warm")
    assert (data.input_shape, data.train.x.dtype, len(data.train)) == ((3, 8, 12), torch.uint8, 20)


def test_images_keep_their_label(folder):
    """The red ones are warm, the blue ones cold."""
    train = read_image_folder(folder, KEEP).train

    assert torch.equal(train.x[:, 0, 0, 0] == 255, train.y == 1)
    assert torch.equal(train.x[:, 2, 0, 0] == 255, train.y == 0)


def test_undivided_images_are_divided(folder):
    """A folder without splits gives all three, each with both classes."""
    data = read_image_folder(folder, Division(0.25, 0.2))

    assert [len(split) for split in data.splits.values()] == [12, 4, 4]
    assert all(split.y.bincount().tolist()[0] * 2 == len(split) for split in data.splits.values())


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_divided_folders(tmp_path, validation):
    """Folders train, validation and test stay what they are; a class may be missing in one of them."""
    for part, count in {"train": 6, validation: 3, "test": 2}.items():
        for n in range(count):
            save(tmp_path / part / "warm" / f"{n}.png")
    save(tmp_path / "train" / "cold" / "0.png", BLUE)
    data = read_image_folder(tmp_path, KEEP)

    assert [len(split) for split in data.splits.values()] == [7, 3, 2]
    assert data.test.y.tolist() == [1, 1]


def test_grey_images_have_one_channel(tmp_path):
    """Images without colour become one channel."""
    for n in range(4):
        save(tmp_path / "ab"[n % 2] / f"{n}.png", 40 * n, mode="L")

    assert read_image_folder(tmp_path, KEEP).input_shape == (1, 8, 12)


def test_grey_among_coloured_images(folder):
    """A grey image among coloured ones gets three equal channels."""
    save(folder / "cold" / "grey.png", 77, mode="L")
    train = read_image_folder(folder, KEEP).train

    assert (train.x == 77).flatten(1).all(1).sum() == 1


def test_grey_in_sixteen_bits(tmp_path):
    """Pixels of 16 bits keep their upper eight."""
    for n in range(2):
        save(tmp_path / "ab"[n] / "0.png", 0x8012, mode="I;16")

    assert read_image_folder(tmp_path, KEEP).train.x.unique().tolist() == [0x80]


def test_the_most_frequent_size_wins(folder):
    """Images of another size are resized to that of most, and named."""
    save(folder / "cold" / "large.jpg", BLUE, size=(60, 40))
    data = read_image_folder(folder, KEEP)

    assert data.input_shape == (3, 8, 12)
    assert data.notes == ("1 of 21 images were resized to 12×8 pixels, the size of most: cold/large.jpg.",)


def test_images_of_one_size_have_no_notes(folder):
    """Where nothing was changed there is nothing to say."""
    assert read_image_folder(folder, KEEP).notes == ()


def test_broken_files_are_named(folder):
    """What cannot be read is left out and named: no image at all, and one that is cut off."""
    (folder / "warm" / "none.png").write_bytes(b"no image")
    whole = save(folder / "cold" / "half.png", size=(300, 200)).read_bytes()
    (folder / "cold" / "half.png").write_bytes(whole[: len(whole) // 2])
    data = read_image_folder(folder, KEEP)

    assert len(data.train) == 20
    assert "2 of 22 files" in data.notes[0]
    assert "left out: cold/half.png, warm/none.png." in data.notes[0]


def test_mostly_broken_is_an_error(tmp_path):
    """More unreadable than readable files are no data set."""
    save(tmp_path / "warm" / "0.png")
    for n in range(2):
        (tmp_path / "warm" / f"bad{n}.png").write_bytes(b"no image")

    with pytest.raises(DataError, match=r"2 of 3 files.*more than half"):
        read_image_folder(tmp_path, KEEP)


def test_a_photograph_stands_upright(tmp_path):
    """A camera held upright says so in the file; width and height are exchanged."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for n in range(2):
        save(tmp_path / "ab"[n] / "0.jpg", exif=exif)

    assert read_image_folder(tmp_path, KEEP).input_shape == (3, 12, 8)


def test_other_files_are_passed_over(folder):
    """Lists and hidden folders beside the images are no images."""
    (folder / "warm" / "list.txt").write_text("0.png")
    save(folder / ".thumbnails" / "0.png")

    assert len(read_image_folder(folder, KEEP).train) == 20


def test_what_is_no_image_folder(tmp_path):
    """Images that lie in no class folder are no classes; the message says what is needed."""
    save(tmp_path / "0.png")

    assert not holds_images(tmp_path)
    with pytest.raises(EmptyDataError, match=r"one folder a class.*/cats/1\.png"):
        read_image_folder(tmp_path, KEEP)


def test_an_image_folder_is_recognised(folder):
    """One image in one folder is enough to tell."""
    assert holds_images(folder)


def test_images_that_do_not_fit_into_memory(folder, monkeypatch):
    """Too many large images are refused before they are read, with their size."""
    monkeypatch.setattr(_image_folder, "_MOST_BYTES", 1024)

    with pytest.raises(DataError, match=r"20 images of 12×8 pixels.*need 5\.62 KiB of memory; at most 1 KiB"):
        read_image_folder(folder, KEEP)


def test_without_pillow_the_install_line_is_named(folder, monkeypatch):
    """The message says how to get the library."""
    monkeypatch.setattr(_image_folder, "find_spec", lambda _: None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        read_image_folder(folder, KEEP)


def test_pixels_arrive_unchanged(tmp_path):
    """Every pixel of a PNG is as it was written."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "0.png")

    assert np.array_equal(read_image_folder(tmp_path, KEEP).train.x[0].permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif", ".webp", ".tiff", ".ppm", ".PNG", ".JPG"])
def test_formats(tmp_path, suffix):
    """The usual formats are read, whatever the case of their suffix."""
    for label, colour in {"warm": RED, "cold": BLUE}.items():
        save(tmp_path / label / f"0{suffix}", colour)
    data = read_image_folder(tmp_path, KEEP)

    assert (len(data.train), data.input_shape) == (2, (3, 8, 12))


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (255, 0, 0, 128)), ("P", 3), ("CMYK", (0, 255, 255, 0))])
def test_kinds_of_colour(tmp_path, mode, colour):
    """Transparency, palettes and printing colours become red, green and blue."""
    for label in "ab":
        save(tmp_path / label / ("0.jpg" if mode == "CMYK" else "0.png"), colour, mode=mode)

    assert read_image_folder(tmp_path, KEEP).input_shape == (3, 8, 12)


def test_folders_within_a_class(tmp_path):
    """Images deeper inside a class folder belong to that class."""
    save(tmp_path / "warm" / "summer" / "june" / "0.png")
    save(tmp_path / "cold" / "0.png")

    assert read_image_folder(tmp_path, KEEP).train.y.sort().values.tolist() == [0, 1]


def test_the_order_does_not_depend_on_the_disk(folder):
    """The same folder gives the same samples in the same order."""
    first, again = (read_image_folder(folder, Division(seed=3)) for _ in range(2))

    assert torch.equal(first.train.y, again.train.y)
    assert torch.equal(first.test.x, again.test.x)


def test_a_class_without_images_is_no_class(folder):
    """An empty folder beside the classes counts for nothing."""
    (folder / "empty").mkdir()

    assert read_image_folder(folder, KEEP).class_names == ("cold", "warm")


def test_long_lists_of_files_are_cut(folder):
    """After twenty names the rest is counted."""
    for n in range(25):
        save(folder / "warm" / f"large{n:02}.png", size=(10 + n, 40))
    for n in range(20):
        save(folder / "cold" / f"more{n}.png", BLUE)

    assert read_image_folder(folder, KEEP).notes[0].endswith("warm/large19.png and 5 more.")


def test_a_path_to_a_folder_of_images_is_data(folder):
    """The one door for data opens it."""
    assert load_data(folder).class_names == ("cold", "warm")
