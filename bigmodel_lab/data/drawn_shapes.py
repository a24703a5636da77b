"""4,500 colour images of ten shapes: drawn by a generator, not photographs.

A stand-in for CIFAR-10 (3×32×32 pixels, ten classes) where there is no network: the same models train on it
unchanged. It shows that a network learns and how fast; how well it would do on photographs it does not show.

Every image is one light shape on a dark background that fades from one colour to another, with a thin line
across as clutter and Gaussian noise. At random are both background colours, the shape's colour, place, radius
(8 to 12 pixels) and rotation (30° to either side), the line, and the strength of the noise. The generator's seed is fixed, so
the images are the same everywhere up to the rounding of a pixel; the division's seed only divides them.

A shape is drawn by its signed distance (Quilez, "2D distance functions", iquilezles.org): below 0 inside. Within half
a pixel of the edge the shape's colour fades into the background, as a camera would see it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from math import cos, pi, sin, sqrt

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from bigmodel_lab.data._arrays import PIXEL_SCALE
from bigmodel_lab.data._splits import divide
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split
from bigmodel_lab.i18n import Text

Distance = Callable[[Tensor, Tensor], Tensor]
"""Signed distance from the edge of a shape of radius 1 at the origin; below 0 inside."""

SIDE = 32
"""Height and width of an image in pixels."""
PER_CLASS = 450
"""Images of each shape."""
_SEED = 10
_RADII = (8.0, 12.0)  # of the circle around the shape, in pixels
_MARGIN = 11.0  # of the centre from the border, in pixels: large shapes may be cut off a little
_TURN = pi / 6  # to either side
_DARK, _LIGHT = (0.0, 100.0), (120.0, 255.0)  # of each colour of background and shape, in levels of 0 … 255
_NOISE = (4.0, 20.0)  # standard deviation, in levels
_LINE_WIDTH = 1.2  # of the line across, in pixels


def load(division: Division) -> Data:
    """The drawn images, divided with every shape in proportion.

    >>> data = load(Division())
    >>> data.input_shape, len(data.train), data.class_names[0]
    ((3, 32, 32), 3645, 'circle')
    """
    whole = draw()
    train, validation, test = divide(whole, division)
    return Data(
        "drawn_shapes",
        str(DATASET.meaning),
        train,
        validation,
        test,
        scale=PIXEL_SCALE,
        classes=len(SHAPES),
        class_names=tuple(SHAPES),
        sha256=sha256(whole.x.numpy().tobytes() + whole.y.numpy().tobytes()).hexdigest(),
    )


def draw(per_class: int = PER_CLASS, seed: int = _SEED) -> Split:
    """Images and their class numbers, one class after the other.

    Args:
        per_class: Images of each shape, from 1.
        seed: Which images these are.

    Returns:
        Pixels, uint8 of shape (10 · per_class, 3, 32, 32), and class numbers, shape (10 · per_class,).

    >>> images = draw(per_class=2, seed=1)
    >>> images.x.shape, images.y.tolist()[:4]
    (torch.Size([20, 3, 32, 32]), [0, 0, 1, 1])
    """
    random = np.random.default_rng(seed)
    images = [_draw_shape(distance, per_class, random) for distance in SHAPES.values()]
    return Split(torch.cat(images), torch.arange(len(SHAPES)).repeat_interleave(per_class))


def _draw_shape(distance: Distance, count: int, random: Generator) -> Tensor:
    """Images of one shape, shape (count, 3, 32, 32)."""
    background = _background(count, random)  # (count, 3, 32, 32)
    images = _paint(background, _uniform(random, *_LIGHT, count, 3), _coverage(distance, count, random))
    images = _paint(images, _uniform(random, 0, 255, count, 3), _line(count, random))
    noise = torch.from_numpy(random.standard_normal(images.shape, np.float32))
    images += _uniform(random, *_NOISE, count, 1, 1, 1) * noise
    return images.clamp_(0, 255).round_().to(torch.uint8)


def _paint(images: Tensor, colour: Tensor, coverage: Tensor) -> Tensor:
    """The images with this colour laid over, as far as it covers each pixel."""
    return torch.lerp(images, colour[:, :, None, None], coverage[:, None])


def _background(count: int, random: Generator) -> Tensor:
    """Two colours that fade into each other in a random direction."""
    first, second = _uniform(random, *_DARK, 2, count, 3, 1, 1)
    across, _ = _turned(_uniform(random, 0, 2 * pi, count), torch.zeros(2, count))  # pixels from the middle
    share = (across / SIDE + 0.5).clamp(0, 1)
    return torch.lerp(first, second, share[:, None])


def _coverage(distance: Distance, count: int, random: Generator) -> Tensor:
    """How far the shape covers each pixel, 0 … 1, shape (count, 32, 32)."""
    radius = _uniform(random, *_RADII, count)[:, None, None]
    reach = SIDE / 2 - _MARGIN
    right, down = _turned(_uniform(random, -_TURN, _TURN, count), _uniform(random, -reach, reach, 2, count))
    return (0.5 - distance(right / radius, down / radius) * radius).clamp(0, 1)


def _line(count: int, random: Generator) -> Tensor:
    """How far a thin straight line covers each pixel, 0 … 1, shape (count, 32, 32)."""
    across, _ = _turned(_uniform(random, 0, pi, count), _uniform(random, -SIDE / 4, SIDE / 4, 2, count))
    return ((_LINE_WIDTH + 1) / 2 - across.abs()).clamp(0, 1)


def _turned(angle: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel lies as seen from a centre, in axes turned by an angle, in pixels.

    Args:
        angle: Shape (count,).
        centre: From the middle of the image to the right and down, shape (2, count).
    """
    middle = torch.arange(SIDE) - (SIDE - 1) / 2
    right = middle[None, None, :] - centre[0, :, None, None]
    down = middle[None, :, None] - centre[1, :, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cosine * right + sine * down, cosine * down - sine * right  # (count, 32, 32) each


def _uniform(random: Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.from_numpy(random.random(shape, np.float32)).mul_(high - low).add_(low)


def _circle(u: Tensor, v: Tensor) -> Tensor:
    return torch.hypot(u, v) - 1


def _ring(u: Tensor, v: Tensor) -> Tensor:
    return (torch.hypot(u, v) - 0.75).abs() - 0.22


def _crescent(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(_circle(u, v), 0.85 - torch.hypot(u - 0.55, v))


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) - 0.78


def _frame(u: Tensor, v: Tensor) -> Tensor:
    return (_square(u, v) + 0.18).abs() - 0.18


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    return _polygon(u, v, 3)


def _hexagon(u: Tensor, v: Tensor) -> Tensor:
    return _polygon(u, v, 6)


def _polygon(u: Tensor, v: Tensor, corners: int) -> Tensor:
    """A regular polygon: on the inner side of every one of its edges."""
    angles = [(nth + 0.5) * 2 * pi / corners for nth in range(corners)]
    edges = torch.stack([u * cos(angle) + v * sin(angle) for angle in angles])
    return edges.amax(0) - cos(pi / corners)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    a, b = u.abs(), v.abs()
    return torch.minimum(torch.maximum(a - 1, b - 0.32), torch.maximum(b - 1, a - 0.32))


def _star(u: Tensor, v: Tensor) -> Tensor:
    """Five points: folded onto half a point, it is one straight edge."""
    half = pi / 5
    turned = torch.atan2(v, u).remainder(2 * half)
    angle = torch.minimum(turned, 2 * half - turned)  # from the nearest point, 0 … half
    away = torch.hypot(u, v)
    inner = 0.42  # radius of the corners between the points
    right, up = inner * cos(half) - 1, inner * sin(half)  # the edge, from a point at (1, 0) to the corner beside it
    return ((away * angle.cos() - 1) * up - away * angle.sin() * right) / sqrt(right**2 + up**2)


def _arrow(u: Tensor, v: Tensor) -> Tensor:
    head = torch.maximum((v.abs() + u - 1) * sqrt(0.5), -u)
    shaft = torch.maximum((u + 0.5).abs() - 0.5, v.abs() - 0.25)
    return torch.minimum(head, shaft)


SHAPES: dict[str, Distance] = {
    "circle": _circle,
    "ring": _ring,
    "crescent": _crescent,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "hexagon": _hexagon,
    "cross": _cross,
    "star": _star,
    "arrow": _arrow,
}
"""Each class and how it is drawn; the order is that of the class numbers."""


DATASET = DatasetCard(
    name="drawn_shapes",
    load=load,
    meaning=Text(
        "data.drawn_shapes.meaning",
        "4,500 colour images of 32×32 pixels in ten classes of shapes, drawn by a generator with a fixed seed; "
        "not photographs.",
    ),
)
