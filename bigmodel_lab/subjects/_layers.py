"""The one building block that the convolutional subjects share."""

from __future__ import annotations

from torch import nn


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    activation: nn.Module | None = None,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] | None = None,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Convolution without bias → batch normalization → activation.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Height and width of the window; one number is both.
        activation: What follows the normalization; None is nothing.
        stride: Step of the window, both ways.
        padding: Zeros around the image; None is half the window, so that stride 1 keeps the size.
        eps: Added to the variance before its root is taken.

    >>> import torch
    >>> conv_norm(3, 8, (1, 7))(torch.zeros(2, 3, 9, 9)).shape
    torch.Size([2, 8, 9, 9])
    """
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=eps)
    return nn.Sequential(conv, norm) if activation is None else nn.Sequential(conv, norm, activation)
