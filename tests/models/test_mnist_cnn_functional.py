"""`mnist_cnn_functional`: its shapes, and why class numbers do what one-hot labels and a softmax do."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bigmodel_lab.models import MODELS
from bigmodel_lab.models.mnist_cnn_functional import MODEL, MnistCNNFunctional


def test_flattened_image_has_5408_numbers():
    """The pooling leaves 32 features of 13×13 places."""
    assert MnistCNNFunctional().fc1.in_features == 32 * 13 * 13 == 5408


def test_an_eighth_of_the_weights_of_the_network_without_pooling():
    """The pooling is what makes it smaller than `simple_cnn`."""
    assert round(MODELS.get("simple_cnn").parameters / MODEL.parameters) == 8


def scores() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that ask for a gradient, and labels, in double precision."""
    made = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 10, generator=made, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(10, (6,), generator=made)


def test_cross_entropy_equals_softmax_and_one_hot_labels():
    """The document's loss over softmax and one-hot rows has the same value and the same gradients."""
    logits, labels = scores()
    printed = -(F.one_hot(labels, 10) * torch.softmax(logits, 1).log()).sum(1).mean()
    here = F.cross_entropy(logits, labels)

    assert torch.allclose(printed, here, atol=1e-12)
    assert torch.allclose(
        *(torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (printed, here)), atol=1e-12
    )


def test_softmax_apart_from_the_loss_overflows():
    """Scores of 200 and 0 give an infinite loss when the softmax is taken apart, and 200 in the loss."""
    logits, label = torch.tensor([[200.0, 0.0]]), torch.tensor([1])

    assert torch.softmax(logits, 1).log()[0, 1].isinf()
    assert F.cross_entropy(logits, label).item() == 200
