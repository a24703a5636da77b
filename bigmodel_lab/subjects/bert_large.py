"""BERT-large with its masked-language-model head.

Source: Devlin et al. 2019, BERT, section 3 (L = 24, H = 1024, A = 16); appendix A.2 for the training.
"""

from __future__ import annotations

from functools import partial

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._transformers import bert, library_loss, tokens
from bigmodel_lab.subjects.base import Subject

SUBJECT = Subject(
    name="bert_large",
    build=partial(bert, num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, intermediate_size=4096),
    batch=partial(tokens, longest=512),
    loss=library_loss,
    parameters=335_174_458,
    inputs=Text("subject.bert_large.inputs", "Up to 512 numbers of tokens out of 30,522."),
    source="Devlin et al. 2019, BERT, section 3",
    idea=Text(
        "subject.bert_large.idea",
        "BERT with 24 layers that are a third wider; it guesses masked words from the words on both sides.",
    ),
    training=Text(
        "subject.bert_large.training",
        "Adam with learning rate 1e-4, 256 sequences a step, 128 tokens each in the first 90 % of steps and 512 after.",
    ),
    sizes={"length": 512},
    package="transformers",
)
