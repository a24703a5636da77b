"""Estimates against peaks that were measured on real cards.

The measured bytes are those of ``torch.cuda.max_memory_allocated`` over training with AdamW in fp32, micro-batch 2, 16
tokens, as counted in the exact measurements that the sources of this project collect.
"""

from __future__ import annotations

import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.subjects import SUBJECTS

MEASURED = {"bert_base": 2_195_345_408, "gpt2": 2_506_736_640}


@pytest.fixture(scope="module", params=MEASURED)
def estimated(request: pytest.FixtureRequest) -> tuple[str, lab.MemoryEstimate]:
    """One of the models, at 2 × 16 tokens."""
    with torch.device("meta"):
        batch = SUBJECTS.get(request.param).example(2, length=16)
    return request.param, lab.estimate_memory(request.param, batch, optimizer="adamw", precision="fp32")


def test_the_peak_is_the_measured_one_within_a_percent(estimated: tuple[str, lab.MemoryEstimate]):
    """BERT-base with its masked-language-model head, and GPT-2."""
    name, estimate = estimated

    assert estimate.peak_allocated_bytes == pytest.approx(MEASURED[name], rel=0.01)


def test_the_peak_comes_in_the_optimizer(estimated: tuple[str, lab.MemoryEstimate]):
    """At so few tokens the weights count: weight, gradient, two states and the temporary of AdamW, 20 bytes a weight."""
    name, estimate = estimated

    assert estimate.moment_of_peak.phase == "optimizer"
    assert estimate.peak_allocated_bytes == pytest.approx(20 * SUBJECTS.get(name).parameters, rel=0.02)
