"""What classifiers of images share: their batch and their loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.subjects.base import Batch

CLASSES = 1000
"""Classes of ImageNet (Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge)."""


def labelled_images(samples: int, *, height: int, width: int) -> Batch:
    """Colour images and the number of the class of each.

    >>> {name: tuple(tensor.shape) for name, tensor in labelled_images(2, height=224, width=224).items()}
    {'images': (2, 3, 224, 224), 'labels': (2,)}
    """
    return {
        "images": torch.zeros(samples, 3, height, width),
        "labels": torch.zeros(samples, dtype=torch.int64),
    }


def classification_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the scores that the model gives to the images, in nats."""
    return F.cross_entropy(model(batch["images"]), batch["labels"])
