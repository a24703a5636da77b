"""Texts: English in the code, translated by a catalogue when they are shown."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bigmodel_lab import i18n
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import Text, text
from bigmodel_lab.metrics import describe
from bigmodel_lab.units import parse_bytes

GERMAN = {
    ("example.paused", "Paused at step {step}."): "Angehalten bei Schritt {step}.",
    ("metric.loss.label", "train loss"): "Trainingsverlust",
    ("error.size_without_unit", None): "{size!r} hat keine Einheit ({units}).",
}


def write_catalogue(folder: Path, entries: Mapping[tuple[str, str], str]) -> None:
    """A compiled gettext catalogue (.mo, little-endian) with message contexts, for the language ``de``."""
    header = {b"": b"Content-Type: text/plain; charset=UTF-8\n"}
    pairs = header | {f"{key}\x04{english}".encode(): shown.encode() for (key, english), shown in entries.items()}
    originals = sorted(pairs)
    start = 28 + 16 * len(originals)
    tables: list[list[bytes]] = [[], []]
    body = b""
    for column, words in enumerate([originals, [pairs[o] for o in originals]]):
        for word in words:
            tables[column].append(struct.pack("<II", len(word), start + len(body)))
            body += word + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(originals), 28, 28 + 8 * len(originals), 0, 0)
    target = folder / "locale" / "de" / "LC_MESSAGES" / "bigmodel_lab.mo"
    target.parent.mkdir(parents=True)
    target.write_bytes(head + b"".join(tables[0]) + b"".join(tables[1]) + body)


@pytest.fixture
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library speaks German, as far as the catalogue of this test goes."""
    entries = {key: shown for key, shown in GERMAN.items() if key[1] is not None}
    english_size = english_of("error.size_without_unit")
    write_catalogue(
        tmp_path, entries | {("error.size_without_unit", english_size): GERMAN["error.size_without_unit", None]}
    )
    monkeypatch.setattr(i18n, "__file__", str(tmp_path / "i18n.py"))
    monkeypatch.setenv("BIGMODEL_LAB_LANGUAGE", "de")
    i18n._catalogue.cache_clear()
    yield
    monkeypatch.undo()
    i18n._catalogue.cache_clear()


def english_of(key: str) -> str:
    """The English text that the code passes with a message key."""
    seen: dict[str, str] = {}

    def spy(asked: str, english: str, **_values: object) -> str:
        seen[asked] = english
        return english

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bigmodel_lab.units.text", spy)
        with pytest.raises(ValueError, match="size"):
            parse_bytes("16")
    return seen[key]


def test_without_a_catalogue_the_english_text_is_shown():
    """English needs no catalogue."""
    assert text("example.paused", "Paused at step {step}.", step=7) == "Paused at step 7."


def test_braces_stay_where_no_value_is_given():
    """A text without values is not formatted: the browser fills in its own."""
    assert text("example.template", "step {step}") == "step {step}"


def test_catalogue_translates_a_text_with_its_values(german: None):
    """The catalogue's text takes the values."""
    assert text("example.paused", "Paused at step {step}.", step=7) == "Angehalten bei Schritt 7."


def test_catalogue_translates_a_text_that_was_defined_at_import(german: None):
    """A text in a class or constant is translated when it is shown, not when it is imported."""
    assert str(describe("loss").label) == "Trainingsverlust"


def test_catalogue_translates_errors(german: None):
    """Errors speak the person's language too."""
    with pytest.raises(ValueError, match="'16' hat keine Einheit"):
        parse_bytes("16")


def test_text_outside_the_catalogue_stays_english(german: None):
    """A catalogue may be incomplete."""
    assert str(UnknownNameError("model", "x", ["mlp"])).startswith("There is no model named 'x'")


def test_key_decides_between_equal_english_texts(german: None):
    """One English word may need two translations."""
    assert str(Text("other.label", "train loss")) == "train loss"


def test_an_unknown_language_falls_back_to_english(monkeypatch: pytest.MonkeyPatch):
    """A language without a catalogue is no error."""
    monkeypatch.setenv("BIGMODEL_LAB_LANGUAGE", "xx")
    i18n._catalogue.cache_clear()

    assert str(describe("loss").label) == "train loss"
    i18n._catalogue.cache_clear()
