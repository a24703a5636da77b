"""Points scattered about a line, to learn two numbers from: the slope and where it crosses the axis.

Made by a formula, not measured: y = 2·x + 1 + noise, with x uniform in −2 … 2 and Gaussian noise of
deviation 0.1. Source: D2, mathematical models, section 1, which fits y = w·x + b by gradient descent from
w₀ = 0.5 and b₀ = 0.1 at a learning rate of 0.01, and leaves the points open. With these, x² is 4/3 on
average, so a step of that size takes away 1 − 2·0.01·4/3 ≈ 2.7 % of the error of w and 2 % of that of b.
"""

from __future__ import annotations

import numpy as np
import torch

from bigmodel_lab.data._splits import divide
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split
from bigmodel_lab.i18n import Text

SLOPE = 2.0
"""w of the line."""
INTERCEPT = 1.0
"""b of the line: y where x is 0."""
NOISE = 0.1
"""Standard deviation of what is added to y; its square, 0.01, is the lowest mean squared error to expect."""
SAMPLES = 500
"""Points, before they are divided."""
_SEED = 2
_REACH = 2.0  # x runs from minus this to this


def load(division: Division) -> Data:
    """The points, divided: x float32 (N, 1), y float32 (N, 1).

    >>> data = load(Division())
    >>> data.task, data.train.x.shape, data.train.y.shape
    ('regression', torch.Size([405, 1]), torch.Size([405, 1]))
    """
    random = np.random.default_rng(_SEED)
    x = random.uniform(-_REACH, _REACH, (SAMPLES, 1))
    y = SLOPE * x + INTERCEPT + NOISE * random.standard_normal((SAMPLES, 1))
    whole = Split(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.float32)))
    train, validation, test = divide(whole, division)
    return Data(
        "points_on_line", str(DATASET.meaning), train, validation, test, scale=None, classes=1, task="regression"
    )


DATASET = DatasetCard(
    name="points_on_line",
    load=load,
    meaning=Text(
        "data.points_on_line.meaning",
        "500 points about the line y = 2·x + 1 with Gaussian noise of deviation 0.1; made by a formula, not measured.",
    ),
)
