"""Images of a person's own: one folder a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.data._arrays import from_arrays
from bigmodel_lab.data.base import Data, Division
from bigmodel_lab.errors import DataError, EmptyDataError, MissingPackageError
from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
_SPLITS = {"train": ("train", "training"), "validation": ("validation", "valid", "val"), "test": ("test",)}
_GREY = frozenset({"1", "L", "LA", "I", "I;16", "F"})  # Pillow's modes without colour
_DEEP = frozenset({"I", "I;16"})  # grey in 16 bits
_ORIENTATION = 0x0112  # the tag by which a camera says how it was held
_LYING = 5  # values from here on exchange width and height
_MOST_BYTES = 8 * 2**30
_SHOWN = 20  # file names that a note lists
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _File:
    """One image file."""

    path: Path
    split: str
    label: str


@dataclass(frozen=True)
class _Look:
    """What the head of an image file tells."""

    size: tuple[int, int]
    """Width and height in pixels, as a person sees it."""
    grey: bool


def holds_images(folder: Path) -> bool:
    """The folder has folders with images in them, one a class, or such folders for each split."""
    return next(_files(folder), None) is not None


def read_image_folder(path: Path, division: Division) -> Data:
    """Images from a folder with one folder a class, ``cats/1.png``; or that for each split, ``train/cats/1.png``.

    Every image gets the size that most of them have. All-grey folders give one channel, others three. Files that
    cannot be read and images that were resized are named in :attr:`Data.notes`.

    Args:
        path: The folder. Splits are called train, validation (or val) and test; the first is needed.
        division: How to divide what is not divided.

    Raises:
        MissingPackageError: Pillow is not installed.
        EmptyDataError: There are no images in folders.
        DataError: More than half of the files cannot be read, or the images need more than 8 GiB of memory.
    """
    _require_pillow()
    files = list(_files(path))
    if not files:
        raise EmptyDataError(
            text(
                "error.no_images",
                "{path} has no images in folders. Needed is one folder a class, e.g. {path}/cats/1.png, or such "
                "folders in train/, validation/ and test/. Read are {suffixes}.",
                path=str(path),
                suffixes=", ".join(sorted(_SUFFIXES)),
            )
        )
    looks = {file: look for file in files if (look := _attempt(file.path, _look))}
    sizes = Counter(look.size for look in looks.values()).most_common(1) or [((1, 1), 0)]
    size = sizes[0][0]
    _check_memory(path, looks, size)
    pixels = {file: image for file in looks if (image := _attempt(file.path, lambda i: _pixels(i, size))) is not None}
    notes = _notes(path, looks, [file for file in files if file not in pixels], size)
    return _as_data(path, pixels, division, notes)


def _as_data(path: Path, pixels: Mapping[_File, NDArray[np.uint8]], division: Division, notes: tuple[str, ...]) -> Data:
    class_names = tuple(sorted({file.label for file in pixels}))
    channels = max(image.shape[0] for image in pixels.values())
    parts = {}
    for split in dict.fromkeys(file.split for file in pixels):
        files = [file for file in pixels if file.split == split]
        x = np.stack([np.broadcast_to(pixels[file], (channels, *pixels[file].shape[1:])) for file in files])
        parts[split] = x, np.array([class_names.index(file.label) for file in files])
    return from_arrays(
        parts.get("", parts),
        name=path.name,
        description=text("data.image_folder", "Images in folders by class from {path}.", path=str(path)),
        division=division,
        classes=len(class_names),
        class_names=class_names,
        notes=notes,
    )


def _require_pillow() -> None:
    if find_spec("PIL") is None:
        raise MissingPackageError("Pillow", text("data.images.purpose", "read images"), "train")


def _files(folder: Path) -> Iterator[_File]:
    """Every image file of each class, by name; of each split, where the folder is divided."""
    splits = {
        name: [folder / called for called in names if (folder / called).is_dir()] for name, names in _SPLITS.items()
    }
    divided = splits if splits["train"] else {"": [folder]}
    for split, places in divided.items():
        for place in places:
            yield from _classes(split, place)


def _classes(split: str, place: Path) -> Iterator[_File]:
    if not place.is_dir():
        return
    for folder in sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        images = (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in _SUFFIXES and file.is_file())
        yield from (_File(file, split, folder.name) for file in images)


def _attempt(path: Path, read: Callable[[Image], Answer]) -> Answer | None:
    """What is read from an image file; None where it is broken or no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return read(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for broken files
        return None


def _look(image: Image) -> _Look:
    """Size and kind of an image, without its pixels."""
    across = image.getexif().get(_ORIENTATION, 1) >= _LYING
    return _Look(image.size[::-1] if across else image.size, image.mode in _GREY)


def _pixels(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels in this size (width, height), shape (1 or 3, height, width)."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP:
        upright = Image.fromarray((np.asarray(upright) // 256).astype(np.uint8))
    plain = upright.convert("L" if image.mode in _GREY else "RGB")
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(plain, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_memory(path: Path, looks: Mapping[_File, _Look], size: tuple[int, int]) -> None:
    """All images fit into memory.

    Raises:
        DataError: They would take more than 8 GiB.
    """
    channels = 1 if all(look.grey for look in looks.values()) else 3
    needed = len(looks) * channels * size[0] * size[1]
    if needed > _MOST_BYTES:
        raise DataError(
            text(
                "error.images_too_large",
                "{count} images of {width}×{height} pixels in {path} need {needed} of memory; at most {most} are read. "
                "Make them smaller first, e.g. with Pillow's Image.thumbnail.",
                count=len(looks),
                width=size[0],
                height=size[1],
                path=str(path),
                needed=format_bytes(needed),
                most=format_bytes(_MOST_BYTES),
            )
        )


def _notes(path: Path, looks: Mapping[_File, _Look], broken: Sequence[_File], size: tuple[int, int]) -> tuple[str, ...]:
    """What was left out and what was changed.

    Raises:
        DataError: More than half of the files cannot be read.
    """
    notes = []
    total = len(looks.keys() | set(broken))
    if broken:
        notes.append(
            text(
                "data.images.broken",
                "{count} of {total} files in {path} cannot be read as images and are left out: {names}.",
                count=len(broken),
                total=total,
                path=str(path),
                names=_names(path, broken),
            )
        )
    if 2 * len(broken) > total:
        raise DataError(text("error.images_broken", "{said} That is more than half.", said=notes[0]))
    resized = [file for file, look in looks.items() if look.size != size and file not in broken]
    if resized:
        notes.append(
            text(
                "data.images.resized",
                "{count} of {total} images were resized to {width}×{height} pixels, the size of most: {names}.",
                count=len(resized),
                total=total,
                width=size[0],
                height=size[1],
                names=_names(path, resized),
            )
        )
    return tuple(notes)


def _names(path: Path, files: Sequence[_File]) -> str:
    """Names of files within the folder, as many as can be read."""
    shown = ", ".join(file.path.relative_to(path).as_posix() for file in files[:_SHOWN])
    more = len(files) - _SHOWN
    return shown + (text("data.more_files", " and {more} more", more=more) if more > 0 else "")
