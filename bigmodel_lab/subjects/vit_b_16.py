"""ViT-B/16, a Transformer over squares of 16×16 pixels.

Source: Dosovitskiy et al. 2021, An image is worth 16x16 words, table 1 (ViT-Base); appendix B.1 for the training.
"""

from __future__ import annotations

from functools import partial

import torch

from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects._transformers import library_loss, library_model
from bigmodel_lab.subjects.base import Batch, Subject


def images(samples: int) -> Batch:
    """Colour images of 224×224 pixels and the number of the class of each.

    >>> {name: tuple(tensor.shape) for name, tensor in images(2).items()}
    {'pixel_values': (2, 3, 224, 224), 'labels': (2,)}
    """
    return {
        "pixel_values": torch.zeros(samples, 3, 224, 224),
        "labels": torch.zeros(samples, dtype=torch.int64),
    }


SUBJECT = Subject(
    name="vit_b_16",
    build=partial(
        library_model,
        "ViTForImageClassification",
        "ViTConfig",
        num_hidden_layers=12,
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=3072,
        patch_size=16,
        image_size=224,
        num_labels=1000,
    ),
    batch=images,
    loss=library_loss,
    parameters=86_567_656,
    inputs=Text(
        "subject.vit_b_16.inputs", "A colour image of 224×224 pixels: 196 squares and one token for the class."
    ),
    source="Dosovitskiy et al. 2021, An image is worth 16x16 words, table 1",
    idea=Text(
        "subject.vit_b_16.idea",
        "A Transformer encoder of 12 layers that reads an image as a sequence of squares and names its class.",
    ),
    training=Text("subject.vit_b_16.training", "Adam with beta 0.9 and 0.999, 4,096 images a step."),
    package="transformers",
)
