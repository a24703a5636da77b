"""Which training steps ``estimate.py`` estimates, and what is asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bigmodel_lab.models import MODELS

DOCUMENTED_SECONDS = 0.5
"""Most that the estimate of a documented model may take, warm."""


@dataclass(frozen=True)
class MemoryCase:
    """One training step."""

    name: str
    """As the report names it."""
    model: str
    """Name of a documented or of a large model."""
    micro_batch_size: int | None = None
    """Samples; None is the documented one."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Other sizes of a sample than the usual ones."""
    precision: str | None = None
    """None is the documented one, else fp32."""
    limit_s: float | None = None
    """Most that an estimate may take, warm; None asks nothing."""
    measured_bytes: int | None = None
    """Peak allocated of a real run; None where there is none."""

    def batch(self) -> Any:
        """A batch on the meta device; None takes the example of a documented model."""
        import torch

        from bigmodel_lab.subjects import SUBJECTS

        if self.model in MODELS.names():
            return None
        with torch.device("meta"):
            return SUBJECTS.get(self.model).example(self.micro_batch_size or 1, **self.sizes)


def _large() -> tuple[MemoryCase, ...]:
    """The truths are ``torch.cuda.max_memory_allocated`` of training with AdamW in fp32, read off cards."""
    few = {"length": 16}
    return (
        MemoryCase("gpt2 8×1024 fp32", "gpt2", 8, {"length": 1024}, "fp32", limit_s=2.0),
        MemoryCase("gpt3_6_7b 1×2048 bf16", "gpt3_6_7b", 1, {"length": 2048}, "bf16", limit_s=15.0),
        MemoryCase("bert_base 2×16 fp32", "bert_base", 2, few, "fp32", measured_bytes=2_195_345_408),
        MemoryCase("gpt2 2×16 fp32", "gpt2", 2, few, "fp32", measured_bytes=2_506_736_640),
    )


CASES = {
    case.name: case
    for case in (*(MemoryCase(name, name, limit_s=DOCUMENTED_SECONDS) for name in MODELS.names()), *_large())
}
"""By name, in the order of the report."""
