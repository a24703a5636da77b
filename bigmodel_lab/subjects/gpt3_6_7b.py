"""The shape of GPT-3 6.7B.

Source: Brown et al. 2020, Language models are few-shot learners, table 2.1 (32 layers, width 4096, 32 heads) and
appendix B. Attention is dense in every layer here, where the paper alternates it with a sparse pattern.
"""

from __future__ import annotations

from functools import partial

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._transformers import gpt2, library_loss, tokens
from bigmodel_lab.subjects.base import Subject

SUBJECT = Subject(
    name="gpt3_6_7b",
    build=partial(gpt2, n_layer=32, n_embd=4096, n_head=32, n_positions=2048),
    batch=partial(tokens, longest=2048),
    loss=library_loss,
    parameters=6_658_404_352,
    inputs=Text("subject.gpt3_6_7b.inputs", "Up to 2,048 numbers of tokens out of 50,257."),
    source="Brown et al. 2020, Language models are few-shot learners, table 2.1",
    idea=Text(
        "subject.gpt3_6_7b.idea",
        "GPT-2's architecture with 32 layers of width 4,096; weights, gradients and Adam's state take 107 GB in fp32.",
    ),
    training=Text(
        "subject.gpt3_6_7b.training",
        "Adam with beta 0.9 and 0.95, learning rate 1.2e-4, two million tokens a step, gradients clipped at norm 1.",
    ),
    sizes={"length": 2048},
    package="transformers",
)
