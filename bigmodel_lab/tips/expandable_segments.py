"""Memory growth for PyTorch: segments that grow instead of many that do not fit."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import sentences
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.training.device_memory import with_option
from bigmodel_lab.units import format_bytes

_OPTION = "expandable_segments:"
_RUNTIME_SETTER = (2, 13)
"""The first torch whose allocator takes settings while it runs (``torch._C._accelerator_setAllocatorSettings``)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where much of what is reserved lies idle while memory is short; on Linux, whose driver can map pages one by one."""
    already = evidence.config.expandable_segments or f"{_OPTION}True" in evidence.platform.alloc_conf
    if already or not evidence.on_cuda or evidence.platform.system != "linux" or not _is_fragmented(evidence):
        return None
    settings = with_option(evidence.platform.alloc_conf, _OPTION, "True")
    return Proposal(
        tip="expandable_segments",
        goal="memory",
        title=text("tip.expandable.title", "Memory growth: expandable segments"),
        why=sentences(evidence.memory_pressure, _idle(evidence)),
        change={"expandable_segments": True},
        memory=None,  # tensors stay what they are; what falls is the reserved memory
        costs=(
            text(
                "tip.expandable.cost",
                "Counts for new segments only. Sharing tensors between processes (CUDA IPC) does not work with them in "
                "some versions.",
            ),
        ),
        needs_restart=evidence.simulated or evidence.platform.torch < _RUNTIME_SETTER,
        safe=True,
        code=(
            Code("bigmodel_lab", "lab.fit(…, expandable_segments=True)", in_mid_run=not evidence.simulated),
            Code("shell", f"export PYTORCH_ALLOC_CONF={settings}", in_mid_run=False),
            Code(
                "plain",
                f'import os\nos.environ["PYTORCH_ALLOC_CONF"] = "{settings}"  # before the first use of CUDA',
                in_mid_run=False,
            ),
        ),
        weight=0.5,
    )


def _is_fragmented(evidence: Evidence) -> bool:
    full = evidence.out_of_memory
    if full is not None and full.allocated_bytes is not None and full.reserved_bytes:
        idle = full.reserved_bytes - full.allocated_bytes
        return full.requested_bytes is not None and idle >= full.requested_bytes
    return evidence.is_fragmented and evidence.memory_pressure is not None


def _idle(evidence: Evidence) -> str:
    full, memory = evidence.out_of_memory, evidence.memory
    if full is not None and full.reserved_bytes is not None and full.allocated_bytes is not None:
        reserved, allocated = full.reserved_bytes, full.allocated_bytes
    else:
        assert memory is not None
        reserved, allocated = memory.peak_reserved_bytes, memory.peak_allocated_bytes
    return text(
        "tip.expandable.why",
        "Of {reserved} that are reserved only {allocated} hold tensors: the rest lies in pieces between them.",
        reserved=format_bytes(reserved),
        allocated=format_bytes(allocated),
    )


TIP = Tip(propose)
