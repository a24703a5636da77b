"""A small network whose convolution is computed as its formula says, one place of the kernel at a time.

Idea: a convolution lays a small kernel of weights over each place of the image, multiplies what
lies on each other, and adds up::

    y(u, v) = Σᵢ Σⱼ x(u+i, v+j) · w(i, j)        i, j over the kernel; u, v over the output

Read for one place (i, j) of the kernel, the formula says: take the whole image, shifted by i rows and j
columns, times one weight. So the sum is a loop over the nine places of a 3×3 kernel, each with a
piece of the image as large as the output. With colours or features c, and a kernel a feature o, the sum
goes over c as well, and each o has its own bias. PyTorch's ``conv2d`` gives the same numbers and the
same gradients, in one call.

Shapes of one sample::

    1×28×28 → convolution by definition 16 3×3 → 16×26×26 → ReLU → MaxPool 2 → 16×13×13 → Flatten 2704 → Linear 10

Source: D3 (003_55378ef5ad9a4593), section 3.3. It gives the formula and no network: the sizes are
ours, optimizer, batch and epochs are those of its section 4.

Errata: the printed formula is y(x,y) = Σᵢ Σⱼ x(i,j)·w(i,j). Its right side lacks the shift, so it gives
the same number at every place of the output; and x and y stand for images and for
coordinates at once. (Strictly, all this is a cross-correlation: mathematics turns the kernel round
for a convolution. Weights are learned, so nothing depends on it.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.i18n import Text
from bigmodel_lab.models.base import Defaults, ModelCard


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution by its definition: y(o,u,v) = b(o) + Σ_c Σᵢ Σⱼ x(c,u+i,v+j)·w(o,c,i,j).

    Args:
        x: Images, shape (samples, C, H, W).
        weight: Kernels, shape (O, C, height, width), not larger than the images.
        bias: One number a kernel, shape (O,); None adds none.

    Returns:
        Shape (samples, O, H - height + 1, W - width + 1).

    >>> x, w = torch.rand(2, 3, 8, 8), torch.rand(4, 3, 3, 3)
    >>> torch.allclose(convolve(x, w), F.conv2d(x, w), atol=1e-5)
    True
    """
    height, width = weight.shape[2:]
    rows, columns = x.shape[2] - height + 1, x.shape[3] - width + 1
    y = x.new_zeros(x.shape[0], weight.shape[0], rows, columns)
    for i in range(height):
        for j in range(width):
            shifted = x[:, :, i : i + rows, j : j + columns]  # x(u+i, v+j) for all u and v at once
            y = y + torch.einsum("bcuv,oc->bouv", shifted, weight[:, :, i, j])
    return y if bias is None else y + bias[:, None, None]


class ConvolutionByDefinition(nn.Conv2d):
    """PyTorch's layer with its weights, computed by :func:`convolve`: every place once, no padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """What ``nn.Conv2d`` returns, for a batch of images."""
        return convolve(x, self.weight, self.bias)


class ConvByDefinition(nn.Module):
    """One convolution by definition, one pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = ConvolutionByDefinition(1, 16, kernel_size=3)
        self.output = nn.Linear(16 * 13 * 13, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten classes (logits) for a batch of images."""
        x = F.max_pool2d(F.relu(self.convolution(x)), 2)  # (B, 1, 28, 28) → (B, 16, 26, 26) → (B, 16, 13, 13)
        x = torch.flatten(x, 1)  # (B, 2704)
        logits: Tensor = self.output(x)  # (B, 10)
        return logits


MODEL = ModelCard(
    name="conv_by_definition",
    build=ConvByDefinition,
    input_shape=(1, 28, 28),
    classes=10,
    parameters=27_210,
    source="D3 (003_55378ef5ad9a4593), section 3.3",
    idea=Text(
        "model.conv_by_definition.idea",
        "A convolution computed as its formula says, one place of the kernel at a time, and trained like any other.",
    ),
    defaults=Defaults(optimizer="adam", learning_rate=1e-3, micro_batch_size=32, epochs=10, precision="fp32"),
    errata=(
        Text(
            "model.conv_by_definition.erratum_shift",
            "The printed formula lacks the shift: Σᵢ Σⱼ x(i,j)·w(i,j) is the same number at every place. Here it is "
            "y(u,v) = Σᵢ Σⱼ x(u+i, v+j)·w(i,j), which is what conv2d computes.",
        ),
    ),
)
