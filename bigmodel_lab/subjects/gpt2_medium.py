"""GPT-2 with 24 layers.

Source: Radford et al. 2019, Language models are unsupervised multitask learners, table 2 and section 2.3; the number
of heads is that of the released weights. The table prints 345M parameters, which is not what its shapes give.
"""

from __future__ import annotations

from functools import partial

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._transformers import gpt2, library_loss, tokens
from bigmodel_lab.subjects.base import Subject

SUBJECT = Subject(
    name="gpt2_medium",
    build=partial(gpt2, n_layer=24, n_embd=1024, n_head=16, n_positions=1024),
    batch=partial(tokens, longest=1024),
    loss=library_loss,
    parameters=354_823_168,
    inputs=Text("subject.gpt2_medium.inputs", "Up to 1,024 numbers of tokens out of 50,257."),
    source="Radford et al. 2019, Language models are unsupervised multitask learners, table 2",
    idea=Text(
        "subject.gpt2_medium.idea",
        "A Transformer decoder of 24 layers that guesses the next token; the second of the four GPT-2.",
    ),
    training=Text(
        "subject.gpt2_medium.training", "512 sequences of 1,024 tokens a step; the paper names no optimizer."
    ),
    sizes={"length": 1024},
    package="transformers",
)
