"""The gradient of a softmax is computed on CUDA from the product of gradient and output, which is a tensor of its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace.cuda_rules.base import Call, Extra, Rule, Step, Target


def _product(call: Call, _target: Target) -> Iterable[Step]:
    """As large as the output, in the wider of the two formats; the logarithm of a softmax needs none."""
    gradient, output = call.args[0], call.args[1]
    width = torch.promote_types(gradient.dtype, output.dtype).itemsize
    yield Extra(output.numel() * width, "softmax backward: gradient times output")


RULE = Rule(
    name="softmax_backward",
    meaning=Text("rule.softmax_backward", "The gradient of a softmax takes a temporary tensor of its own size."),
    source="pytorch aten/src/ATen/native/cuda/SoftMax.cu, softmax_backward_cuda_out",
    operations={"aten._softmax_backward_data": _product},
)
