"""What the wheel asks for: little, no exact versions, and nothing that would change Colab or Kaggle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT

IMAGES = sorted((Path(__file__).parent / "images").glob("*.txt"))
BASE = {"anywidget", "ipywidgets", "numpy", "nvidia-ml-py", "psutil", "traitlets"}


@dataclass(frozen=True)
class Image:
    """A hosted notebook service's image: its Python and what is installed in it."""

    name: str
    python: str
    versions: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Image:
        """The image of one committed list."""
        lines = path.read_text().splitlines()
        python = next(line.split(":")[1].strip() for line in lines if line.startswith("# python:"))
        pins = (line.split("==") for line in lines if line and not line.startswith("#"))
        return cls(path.stem, python, {canonicalize_name(name): version for name, version in pins})

    def applies(self, requirement: Requirement, extra: str = "") -> bool:
        """Whether pip would look at this requirement here."""
        marker = {"extra": extra, "python_version": self.python, "python_full_version": f"{self.python}.0"}
        return requirement.marker is None or requirement.marker.evaluate(marker)


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """The METADATA file of the built wheel."""
    with ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def asked(metadata: Message) -> list[Requirement]:
    """Every requirement of the wheel, those of its extras too."""
    return [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]


@pytest.fixture(params=IMAGES, ids=lambda path: path.stem)
def image(request: pytest.FixtureRequest) -> Image:
    """Each committed image in turn."""
    return Image.read(request.param)


def of_extra(asked: list[Requirement], extra: str) -> list[Requirement]:
    """The requirements of one extra; of the base under the empty name."""
    return [
        r for r in asked if (f'extra == "{extra}"' in str(r.marker) if extra else "extra" not in str(r.marker or ""))
    ]


def changes(image: Image, requirements: list[Requirement]) -> Iterator[str]:
    """What installing these would change among the versions that the image already has."""
    todo, seen = list(requirements), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        have = image.versions.get(name)
        if have is not None and not requirement.specifier.contains(have, prereleases=True):
            yield f"{image.name} has {name} {have}; asked for is {requirement}"
        elif (
            have is None and name not in seen
        ):  # installed on top: what it brings along must not change anything either
            seen.add(name)
            todo += [r for r in map(Requirement, requires(name) or []) if image.applies(r)]


def test_there_is_a_list_for_each_service() -> None:
    """The lists of Colab (with and without a GPU) and of Kaggle are all there."""
    assert {path.stem for path in IMAGES} == {"colab", "colab-cpu", "kaggle"}


def test_each_list_says_where_it_comes_from(image: Image) -> None:
    """Source repository, commit and date stand in the head of each list."""
    head = (Path(__file__).parent / "images" / f"{image.name}.txt").read_text()
    assert re.search(r"source: https://github\.com/\S+", head)
    assert re.search(r"commit: [0-9a-f]{40}  date: \d{4}-\d\d-\d\d", head)


def test_the_base_is_small(asked: list[Requirement]) -> None:
    """Six packages, each for its own field, and no more."""
    assert {canonicalize_name(r.name) for r in of_extra(asked, "")} == BASE


def test_torch_is_not_in_the_base(asked: list[Requirement]) -> None:
    """Installing the library never installs or changes PyTorch; that is what the extra is for."""
    assert "torch" not in {r.name for r in of_extra(asked, "")}
    assert "torch" in {r.name for r in of_extra(asked, "train")}


def test_no_requirement_is_pinned(asked: list[Requirement]) -> None:
    """No exact version and no upper limit: a team's environment stays as it is."""
    limits = {"==", "===", "<", "<=", "~="}
    assert [str(r) for r in asked if any(s.operator in limits for s in r.specifier)] == []


def test_the_constraints_stay_out_of_the_metadata(metadata: Message) -> None:
    """No tested version of constraints.txt appears in what the wheel asks for."""
    pins = [line.split(" ;")[0].split("==") for line in constraint_lines()]
    text = "\n".join(metadata.get_all("Requires-Dist") or [])
    assert [f"{name}=={version}" for name, version in pins if re.search(rf"{re.escape(name)}\W*==", text)] == []
    assert "constraints" not in text


def test_the_python_floor_is_3_10(metadata: Message) -> None:
    """Python 3.10 and everything after it, without an upper limit."""
    assert str(SpecifierSet(str(metadata["Requires-Python"]))) == ">=3.10"


def test_installing_the_base_changes_no_version_of_the_image(image: Image, asked: list[Requirement]) -> None:
    """`pip install bigmodel_lab` upgrades and downgrades nothing in Colab or Kaggle."""
    assert list(changes(image, of_extra(asked, ""))) == []


def test_installing_the_training_extra_changes_no_version_of_the_image(image: Image, asked: list[Requirement]) -> None:
    """`pip install "bigmodel_lab[train]"` keeps the PyTorch that Colab and Kaggle have."""
    assert list(changes(image, of_extra(asked, "train"))) == []


def test_only_named_packages_come_on_top(image: Image, asked: list[Requirement]) -> None:
    """What an image lacks of the base is written in the head of its list, and nothing else is lacking."""
    head = (Path(__file__).parent / "images" / f"{image.name}.txt").read_text()
    named = re.search(r"# not there, installed on top, changes nothing: (.+)", head)
    expected = set(named[1].split(", ")) if named else set()
    assert {canonicalize_name(r.name) for r in of_extra(asked, "")} - image.versions.keys() == expected


def test_a_floor_above_the_image_would_be_noticed(image: Image) -> None:
    """The check can fail: a newer ipywidgets than the image's is reported as a change."""
    assert list(changes(image, [Requirement("ipywidgets>=99")])) != []


def test_a_change_brought_along_would_be_noticed() -> None:
    """The check looks through a package that comes on top: anywidget's ipywidgets would replace an old one."""
    old = Image("old", "3.12", {"ipywidgets": "5.0"})
    assert [line for line in changes(old, [Requirement("anywidget")]) if "ipywidgets 5.0" in line] != []


def constraint_lines() -> list[str]:
    """The pins of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
