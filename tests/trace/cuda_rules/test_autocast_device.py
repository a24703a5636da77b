"""``torch.autocast("cuda")`` of a traced program."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import TraceError
from tests.trace.reading import ran

X = torch.empty(8, 16)
LINEAR = nn.Linear(16, 16)


@pytest.mark.parametrize(
    ("arguments", "dtype"),
    [
        ({"device_type": "cuda", "dtype": torch.bfloat16}, torch.bfloat16),
        ({"device_type": "cuda", "dtype": torch.float16}, torch.float16),
        ({"device_type": "cuda"}, torch.float16),
        ({"device_type": "cuda", "enabled": False}, torch.float32),
        ({"device_type": "cpu", "dtype": torch.bfloat16}, torch.bfloat16),
    ],
)
def test_autocast_in_the_step_is_that_of_the_card(arguments: dict[str, object], dtype: torch.dtype) -> None:
    """fp16 where no format is named, as on CUDA; off where it is off."""
    seen: list[torch.dtype] = []

    def forward(model: nn.Module, x: Tensor) -> None:
        with torch.autocast(**arguments):  # type: ignore[arg-type]
            seen.append(model(x).dtype)

    ran(forward, X, model=LINEAR)

    assert seen == [dtype]


def test_autocast_as_a_decorator_inside_the_step() -> None:
    """Made while the step runs."""
    seen: list[torch.dtype] = []

    def forward(model: nn.Module, x: Tensor) -> None:
        seen.append(torch.autocast("cuda", dtype=torch.bfloat16)(model)(x).dtype)

    ran(forward, X, model=LINEAR)

    assert seen == [torch.bfloat16]


def test_the_constructor_is_the_usual_one_after_a_trace() -> None:
    """Also after one that failed: autocast for CUDA warns on a machine without a card, as ever."""
    before = torch.autocast.__init__
    ran(lambda model, x: x + 1, X)
    with pytest.raises(TraceError):
        ran(lambda model, x: x.long().flatten().bincount(), X)

    assert torch.autocast.__init__ is before


def test_another_thread_sees_no_difference_while_a_trace_runs() -> None:
    """Its autocast for CUDA is that of torch: on a machine without a card off, with a warning."""
    outside: list[tuple[str, bool]] = []

    def other() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.autocast("cuda", dtype=torch.bfloat16)
        outside.append((made.device, torch.is_autocast_enabled("cpu")))

    def forward(model: nn.Module, x: Tensor) -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    ran(forward, X)

    assert outside == [("cuda", False)]


def test_a_trace_inside_a_trace_leaves_the_outer_one_its_autocast() -> None:
    """Both end in their own order."""
    seen: list[torch.dtype] = []

    def forward(model: nn.Module, x: Tensor) -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            seen.append(model(x).dtype)

    def outer(model: nn.Module, x: Tensor) -> None:
        from bigmodel_lab.trace.cuda_rules import RULES

        around = RULES.get("autocast_device").around
        assert around is not None
        with around():
            pass
        forward(model, x)

    ran(outer, X, model=LINEAR)

    assert seen == [torch.bfloat16]
