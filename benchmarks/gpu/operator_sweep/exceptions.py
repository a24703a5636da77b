"""Differences between a card and the trace that are known and left, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

EXCEPTIONS: Mapping[str, str] = {
    # what an emulated card does not know
    r"conv(2d|_transpose2d).*": "cuDNN's workspaces are 0 where the card is emulated; the trace charges its copies of layouts",
    r"conv[13]d bias.*|conv_transpose[13]d.*": "a copy of the weight in another layout, or cuDNN's, unknown where emulated",
    r"attention.*(bf16|fp16)|multihead 0\.[01].*fp16|encoder layer 0\.0 .*": "cuDNN's attention on Hopper copies and rounds "
    "nothing, its workspace is not published, and the trace charges flash attention's; padding of odd heads is counted once",
    # the textbook formula
    r"softmax.*|attention (by math|3d|grouped|size|bool|odd|causal|dropout|plain|float|learned|value).*fp32|"
    r"multihead (weights )?0\.[01].*": "the product inside softmax's backward pass, and the copies of grouped heads",
    # the trace takes another way than CUDA, and asks for more
    r"encoder layer eval.*|multihead eval.*": "the fast path of evaluation shares one buffer among its parts: too much",
    r"linear transposed bias.*": "a bias is added in place on CUDA and not on stand-ins: too much",
    r"cumprod.*": "its derivative reads values on CUDA and takes another way on stand-ins: too much",
    r"max backward all.*|median .*": "equal values are counted in another way on stand-ins: too much",
    r"gaussian_nll.*|einsum .* autocast.*|dist .*": "a few operations more or fewer than on CUDA, below two operands",
    r"renorm.*": "its derivative is taken apart otherwise on stand-ins: too much",
    # seldom in training, and not modelled
    r"group_norm channels_last.*|layer_norm transposed.*|batch_norm eval channels_last.*": "CUDA makes the batch contiguous "
    "first, the trace keeps its layout: one copy of the batch too little, or a few numbers for each row",
    r"adaptive_max_pool2d . channels_last.*|interpolate .*channels_last.*|pad reflect channels_last.*": "copies of "
    "channels_last that only few kernels make",
    r"logsumexp.*": "exp(x - max) is written out in 32 bits on CUDA: one temporary as large as the input too little",
    r"bilinear .*|cdist.*|affine_grid.*|scatter_reduce.*|roll two.*|unfold.*|tensor unfold.*|one_hot.*": "temporaries of the "
    "kernel that are not modelled: at most as large as operand and result together",
    r"soft_margin_loss.*|multi_margin_loss.*|cross_entropy smooth.*": "temporaries of the kernel that are not modelled",
    r"multinomial.*|bernoulli.*|randperm.*": "random numbers are written out before they are compared or sorted",
    r"cumsum.*|topk.*|(arg)?sort.*": "counters of CUB, by tiles that differ from card to card: below 2 % of the operand",
    r"step Adam capturable.*": "PyTorch refuses it on the stand-ins of a CPU",
}
"""Reason by a regular expression that the whole title of a case matches; the first that matches counts."""


def reason_for(title: str) -> str:
    """Why this case differs; empty where no reason is known.

    Args:
        title: Of a case.
    """
    return next((reason for pattern, reason in EXCEPTIONS.items() if re.fullmatch(pattern, title)), "")


def unused(titles: Iterable[str]) -> list[str]:
    """Patterns that match none of these cases.

    Args:
        titles: Of all cases that differ.
    """
    known = list(titles)
    return [pattern for pattern in EXCEPTIONS if not any(re.fullmatch(pattern, title) for title in known)]
