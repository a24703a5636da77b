"""Reads pictures back: what they draw, where, and what hovering says."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def tree(picture):
    """The picture as a tree; fails where it is not well-formed."""
    return ET.fromstring(picture.svg())


def texts(picture):
    """Every line of text that is drawn."""
    return [element.text or "" for element in tree(picture).iter(f"{SVG}text")]


def hovers(picture):
    """Everything that hovering says, the name of the whole picture first."""
    return [element.text or "" for element in tree(picture).iter(f"{SVG}title")]


def areas(picture):
    """Class and (x, y) corners of each area that is painted in the colour of a category, from back to front."""
    for element in tree(picture).iter(f"{SVG}path"):
        if re.fullmatch(r"k\d", element.get("class", "")):
            yield element.get("class"), corners(element.get("d"))


def corners(path):
    """Corners of a path of M, H and V."""
    x, y, found = 0.0, 0.0, []
    for command, numbers in re.findall(r"([MHVZ])([^MHVZ]*)", path):
        values = [float(number) for number in numbers.split()]
        if command == "M":
            x, y = values
        elif command == "H":
            (x,) = values
        elif command == "V":
            (y,) = values
        found.append((x, y))
    return found
