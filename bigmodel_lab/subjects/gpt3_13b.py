"""The shape of GPT-3 13B.

Source: Brown et al. 2020, Language models are few-shot learners, table 2.1 (40 layers, 40 heads of 128) and appendix B.
The table prints a width of 5,140, which 40 heads do not divide; the width here is 40 × 128 = 5,120. Attention
is dense in every layer here, where the paper alternates it with a sparse pattern.
"""

from __future__ import annotations

from functools import partial

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._transformers import gpt2, library_loss, tokens
from bigmodel_lab.subjects.base import Subject

SUBJECT = Subject(
    name="gpt3_13b",
    build=partial(gpt2, n_layer=40, n_embd=5120, n_head=40, n_positions=2048),
    batch=partial(tokens, longest=2048),
    loss=library_loss,
    parameters=12_853_386_240,
    inputs=Text("subject.gpt3_13b.inputs", "Up to 2,048 numbers of tokens out of 50,257."),
    source="Brown et al. 2020, Language models are few-shot learners, table 2.1",
    idea=Text(
        "subject.gpt3_13b.idea",
        "GPT-2's architecture with 40 layers of width 5,120; weights, gradients and Adam's state take 206 GB in fp32.",
    ),
    training=Text(
        "subject.gpt3_13b.training",
        "Adam with beta 0.9 and 0.95, learning rate 1e-4, two million tokens a step, gradients clipped at norm 1.",
    ),
    sizes={"length": 2048},
    package="transformers",
)
