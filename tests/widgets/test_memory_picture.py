"""What all pictures of memory have in common."""

from __future__ import annotations

import re

import pytest
from pictures import hovers, texts, tree

from bigmodel_lab._table import Table
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.memory.categories import SHADES, SHOWN
from bigmodel_lab.widgets._memory_picture import WIDTH, MemoryPicture, fill, legend, letters, origin_label

PICTURE = MemoryPicture("A <title>", "What & how.", "simulated", 80, letters(8, 50, "<&>"), Table(("a",), (("1",),)))


def test_it_shows_itself_in_three_ways():
    """A page takes the HTML, a viewer of pictures the SVG, a terminal the table."""
    bundle = PICTURE._repr_mimebundle_()

    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}
    assert bundle["text/plain"] == "A <title> [simulated]\na\n1"


def test_it_needs_no_script():
    """Hovering works through titles alone."""
    assert "<script" not in PICTURE.html()
    assert not re.search(r"\son\w+=", PICTURE.html())


def test_it_can_be_read_aloud():
    """Role, name and description are there for those who cannot see it."""
    root = tree(PICTURE)

    assert (root.get("role"), root.get("aria-label")) == ("img", "A <title> (simulated)")
    assert hovers(PICTURE)[0] == "A <title> (simulated)"
    assert root[1].text == "What & how."


def test_its_label_is_drawn():
    """Simulated numbers are called so on the picture itself."""
    assert texts(PICTURE)[:2] == ["A <title>", "simulated"]


@pytest.mark.parametrize(("card", "label"), [(None, "simulated"), ("", "recorded"), ("L4", "recorded on L4")])
def test_the_label_tells_where_it_comes_from(card, label):
    """Simulated, recorded, or recorded on a card that is known."""
    assert origin_label(card) == label


def test_in_a_page_the_page_s_theme_counts():
    """The HTML follows JupyterLab, VS Code and Colab; it has no ground of its own."""
    for page in ("[data-jp-theme-light=false] .bml-mem", ".vscode-dark .bml-mem", "[theme=dark] .bml-mem"):
        assert page in PICTURE.html()
    assert "background:var(--ground)" not in PICTURE.html()


def test_alone_it_has_a_ground_of_its_own():
    """The file follows the system; its letters stand on its own ground."""
    assert "prefers-color-scheme:dark" in PICTURE.svg()
    assert "background:var(--ground)" in PICTURE.svg()


def test_every_rule_of_style_stays_inside():
    """Nothing else on the page changes: each rule begins with the class of the picture."""
    style = re.search(r"<style>(.*)</style>", PICTURE.html())[1]
    rules = re.sub(r"@media [^{]*\{([^{]*\{[^}]*\})\}", r"\1", style)
    selectors = [one for rule in re.findall(r"([^{}]+)\{", rules) for one in rule.split(",")]

    assert len(selectors) > 20
    assert [one for one in selectors if ".bml-mem" not in one] == []


def test_it_shrinks_with_the_page():
    """A narrow page shows all of it."""
    root = tree(PICTURE)

    assert root.get("viewBox") == f"0 0 {WIDTH} 80"
    assert root.get("style") == "max-width:100%;height:auto"


@pytest.mark.parametrize("name", ["peak.svg", "peak.html"])
def test_it_is_saved(tmp_path, name):
    """A file holds the picture; its path comes back."""
    path = PICTURE.save(tmp_path / name)

    assert path == tmp_path / name
    assert PICTURE.svg() in path.read_text("utf-8")


def test_another_suffix_is_refused(tmp_path):
    """What cannot be written is said, with the way around."""
    with pytest.raises(ConfigError, match=r"peak\.png must end in \.svg or \.html"):
        PICTURE.save(tmp_path / "peak.png")


@pytest.mark.parametrize("category", SHOWN)
def test_a_category_has_its_colour_without_styles_too(category):
    """A page that drops styles still shows the light colour."""
    assert fill(category) == f'class="k{SHOWN.index(category)}" fill="{SHADES[category].light}"'


def test_a_legend_goes_over_rows_where_it_is_long():
    """Names never leave the picture: a row that is full is followed by the next."""
    drawn, height = legend([(fill("input"), f"category number {n}", "") for n in range(12)], 0)
    lefts = [float(x) for x in re.findall(r'<text x="([\d.]+)"', drawn)]

    assert height == 36  # two rows
    assert max(lefts) + 6.2 * len("category number 11") < WIDTH


def test_a_legend_of_nothing_takes_no_room():
    """No entries, no height."""
    assert legend([], 10) == ("", 0.0)
