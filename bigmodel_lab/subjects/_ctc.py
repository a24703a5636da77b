"""Connectionist temporal classification, as an operation whose shapes are known beforehand.

Torch's own ``ctc_loss`` finds the longest text by reading the lengths, so that neither its forward pass on fake tensors
nor its backward pass on the meta device works (torch 2.13). Here all sounds of a batch have one length and all texts
have one length; the arithmetic is torch's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLANK = 0
"""Number of the letter that stands for no letter."""


@torch.library.custom_op("bigmodel_lab::ctc", mutates_args=())
def _ctc(log_probabilities: Tensor, letters: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of each text, and log α of the forward algorithm, which the backward pass needs and no public function gives."""
    lengths = _lengths(log_probabilities, letters)
    losses, alpha = torch.ops.aten._ctc_loss(log_probabilities, letters, *lengths, BLANK)  # noqa: SLF001
    return losses, alpha


@_ctc.register_fake
def _(log_probabilities: Tensor, letters: Tensor) -> tuple[Tensor, Tensor]:
    steps, samples, _ = log_probabilities.shape
    states = 2 * letters.shape[1] + 1  # the letters, with a blank before and behind each
    return log_probabilities.new_empty(samples), log_probabilities.new_empty(samples, steps, states)


@torch.library.custom_op("bigmodel_lab::ctc_backward", mutates_args=())
def _ctc_backward(
    gradient: Tensor, log_probabilities: Tensor, letters: Tensor, losses: Tensor, alpha: Tensor
) -> Tensor:
    """Gradient of the log-probabilities."""
    kept = log_probabilities, letters, *_lengths(log_probabilities, letters), losses, alpha
    found: Tensor = torch.ops.aten._ctc_loss_backward(gradient, *kept, BLANK)  # noqa: SLF001
    return found


@_ctc_backward.register_fake
def _(gradient: Tensor, log_probabilities: Tensor, letters: Tensor, losses: Tensor, alpha: Tensor) -> Tensor:
    del gradient, letters, losses, alpha  # only the log-probabilities decide about the shape
    return torch.empty_like(log_probabilities)


def _lengths(log_probabilities: Tensor, letters: Tensor) -> tuple[list[int], list[int]]:
    """Length of each sound and of each text."""
    steps, samples, _ = log_probabilities.shape
    return [steps] * samples, [letters.shape[1]] * samples


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
    return _ctc_backward(gradient, *ctx.saved_tensors), None


torch.library.register_autograd("bigmodel_lab::ctc", _backward, setup_context=_keep)


def ctc_loss(log_probabilities: Tensor, letters: Tensor) -> Tensor:
    """Mean over the samples of the loss of each text divided by its letters, in nats.

    Graves et al. 2006, Connectionist Temporal Classification: -log of the probability of all ways to stretch the
    text over the sound. Infinite where the text does not fit into it.

    Args:
        log_probabilities: Of each letter at each step of the sound, shape (steps, samples, letters of the alphabet).
        letters: Numbers from 1, shape (samples, letters of the text); every text has the same length.

    >>> flat = torch.full((3, 1, 2), 0.5).log()  # two letters, one of them the blank; ways to say "a" in 3 steps: 6
    >>> round(float(ctc_loss(flat, torch.tensor([[1]])).exp()), 4)  # 8 / 6
    1.3333
    """
    losses: Tensor = _ctc(log_probabilities, letters)[0]
    return (losses / letters.shape[1]).mean()
