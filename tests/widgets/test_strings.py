"""The texts of the browser."""

from __future__ import annotations

import re
from pathlib import Path

from bigmodel_lab.widgets._strings import strings

INTERFACE = Path(__file__).parents[2] / "labextension" / "src" / "strings.ts"


def test_the_browser_gets_every_text_it_asks_for():
    """The keys sent are those of the browser's interface, no more and no fewer."""
    wanted = re.findall(r"readonly (\w+): string", INTERFACE.read_text("utf-8"))

    assert sorted(strings()) == sorted(wanted)


def test_no_text_is_empty():
    """A button without a word is no button."""
    assert all(strings().values())
