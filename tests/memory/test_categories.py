"""Names and colours of the categories."""

from __future__ import annotations

import itertools

import pytest

from bigmodel_lab.memory.categories import (
    SHADES,
    SHOWN,
    UNKNOWN,
    category_label,
    category_meaning,
    known,
    theme_css,
)
from bigmodel_lab.memory.requests import CATEGORIES

# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency",
# severity 1.0; rows of the matrix that is applied to linear RGB.
SIGHT = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
TOLD = [name for name in SHOWN if name != UNKNOWN]


def linear(colour):
    """Linear RGB of ``#rrggbb``."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def seen(colour, sight):
    """CIE L*a*b* of a colour as an eye sees it."""
    red, green, blue = (
        min(1, max(0, sum(m * part for m, part in zip(row, linear(colour), strict=True)))) for row in SIGHT[sight]
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def contrast(one, other):
    """Contrast of two colours as WCAG 2 defines it."""
    lights = sorted(sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_every_category_has_a_name_and_a_colour():
    """None of the categories of a trace is forgotten, and nothing else stands beside them than the unknown."""
    assert {*CATEGORIES, UNKNOWN} == set(SHOWN) == set(SHADES)
    assert all(category_label(name) and category_meaning(name) for name in SHOWN)


def test_what_stays_longest_lies_lowest():
    """The order of the stack is that of the traces, what nobody knows on top."""
    assert SHOWN[0] == "parameter"
    assert SHOWN[-1] == UNKNOWN


@pytest.mark.parametrize("side", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_colours_differ_for_every_eye(sight, side):
    """Any two categories differ clearly, also for people who do not see red, green or blue (ΔE*ab of 20 or more)."""
    looks = [seen(getattr(SHADES[name], side), sight) for name in TOLD]
    distances = [
        sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        for one, other in itertools.combinations(looks, 2)
    ]

    assert min(distances) >= 20


@pytest.mark.parametrize(("side", "ground"), [("light", "#ffffff"), ("dark", "#111111")])
def test_colours_stand_out_from_the_ground(side, ground):
    """Every area can be told from the page behind it."""
    assert all(contrast(getattr(SHADES[name], side), ground) >= 1.9 for name in TOLD)


def test_a_word_of_somebody_s_own_is_shown_as_unknown():
    """A trace may come with a category that the pictures do not know."""
    assert known("kv_cache") == UNKNOWN
    assert category_label("kv_cache") == "kv_cache"
    assert not category_meaning("kv_cache")


def test_a_page_that_says_dark_gets_the_dark_colours():
    """The page's own word comes after the system's, so it counts."""
    css = theme_css(".x", page=True)

    assert css.index("prefers-color-scheme") < css.index("[data-jp-theme-light=false] .x")
    assert css.rindex(SHADES["parameter"].dark) > css.index("[data-jp-theme-light=false] .x")


def test_a_picture_of_its_own_asks_the_system_alone():
    """Outside a page no element above could say anything."""
    assert "data-jp-theme" not in theme_css(".x", page=False)
