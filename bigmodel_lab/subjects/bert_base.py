"""BERT-base with its masked-language-model head.

Source: Devlin et al. 2019, BERT, section 3 (L = 12, H = 768, A = 12); appendix A.2 for the training.
"""

from __future__ import annotations

from functools import partial

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._transformers import bert, library_loss, tokens
from bigmodel_lab.subjects.base import Subject

SUBJECT = Subject(
    name="bert_base",
    build=partial(bert, num_hidden_layers=12, hidden_size=768, num_attention_heads=12, intermediate_size=3072),
    batch=partial(tokens, longest=512),
    loss=library_loss,
    parameters=109_514_298,
    inputs=Text("subject.bert_base.inputs", "Up to 512 numbers of tokens out of 30,522."),
    source="Devlin et al. 2019, BERT, section 3",
    idea=Text(
        "subject.bert_base.idea",
        "A Transformer encoder of 12 layers that guesses masked words from the words on both sides.",
    ),
    training=Text(
        "subject.bert_base.training",
        "Adam with learning rate 1e-4, 256 sequences a step, 128 tokens each in the first 90 % of steps and 512 after.",
    ),
    sizes={"length": 512},
    package="transformers",
)
