"""CTC with known lengths: torch's numbers, on devices where torch's own cannot go."""

from __future__ import annotations

from itertools import groupby, product

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from bigmodel_lab.subjects._ctc import ctc_loss


def scores(steps: int = 9, samples: int = 3, alphabet: int = 5) -> Tensor:
    """Drawn, with gradient."""
    return torch.randn(steps, samples, alphabet, dtype=torch.float64).requires_grad_()


LETTERS = torch.tensor([[1, 2, 2], [4, 1, 3], [2, 4, 2]])


def test_it_is_torchs_loss():
    """The mean over samples of the loss a letter."""
    probabilities = scores().log_softmax(2)
    expected = F.ctc_loss(probabilities, LETTERS, (9, 9, 9), (3, 3, 3))

    torch.testing.assert_close(ctc_loss(probabilities, LETTERS), expected)


def test_its_gradient_is_torchs():
    """Down to the scores."""
    mine, theirs = scores(), None
    theirs = mine.detach().clone().requires_grad_()
    ctc_loss(mine.log_softmax(2), LETTERS).backward()
    F.ctc_loss(theirs.log_softmax(2), LETTERS, (9, 9, 9), (3, 3, 3)).backward()

    torch.testing.assert_close(mine.grad, theirs.grad)


def test_it_counts_every_way_to_say_the_text():
    """Against all sequences of four steps that spell the text when repeats and blanks are taken away."""
    probabilities = scores(4, 1, 3).detach().log_softmax(2)
    total = 0.0
    for path in product(range(3), repeat=4):
        if [letter for letter, _ in groupby(path) if letter] == [1, 2]:
            total += float(sum(probabilities[step, 0, letter] for step, letter in enumerate(path)).exp())

    assert float((-2 * ctc_loss(probabilities, torch.tensor([[1, 2]]))).exp()) == pytest.approx(total)


def test_a_text_that_does_not_fit_is_infinitely_unlikely():
    """Three letters need three steps."""
    assert ctc_loss(scores(2).log_softmax(2), LETTERS).isinf()


def test_it_goes_both_ways_without_a_number():
    """On the meta device torch's own has no backward pass."""
    given = torch.empty(50, 2, 29, device="meta", requires_grad=True)
    ctc_loss(given.log_softmax(2), torch.empty(2, 10, dtype=torch.int64, device="meta")).backward()

    assert given.grad.shape == (50, 2, 29)


def test_it_goes_both_ways_on_fake_tensors():
    """Where memory is estimated torch's own cannot tell the shape of what it keeps."""
    with FakeTensorMode():
        given = torch.zeros(50, 2, 29, requires_grad=True)
        ctc_loss(given.log_softmax(2), torch.ones(2, 10, dtype=torch.int64)).backward()

    assert given.grad.shape == (50, 2, 29)


@pytest.mark.parametrize("letters", [1, 3])
def test_the_operation_keeps_all_promises_of_an_operation(letters: int):
    """Schema, gradient registration and fake shapes, as torch checks them."""
    leaf = scores().log_softmax(2).detach().requires_grad_()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    found = torch.library.opcheck(torch.ops.bigmodel_lab.ctc.default, (leaf, LETTERS[:, :letters]), test_utils=checks)

    assert found == dict.fromkeys(checks, "SUCCESS")


def test_the_gradient_is_the_slope():
    """Against small steps to both sides."""
    given = scores(5, 2, 3)

    assert torch.autograd.gradcheck(lambda x: ctc_loss(x.log_softmax(2), torch.tensor([[1, 2], [2, 2]])), (given,))


def test_samples_count_alike():
    """The loss of a batch is the mean of the losses alone."""
    probabilities = scores().log_softmax(2)
    alone = [ctc_loss(probabilities[:, n : n + 1], LETTERS[n : n + 1]) for n in range(3)]

    torch.testing.assert_close(ctc_loss(probabilities, LETTERS), torch.stack(alone).mean())


def test_fake_and_real_shapes_agree():
    """What the backward pass keeps: one log α a step and state."""
    real = torch.ops.bigmodel_lab.ctc(scores().log_softmax(2).detach(), LETTERS)
    without = torch.ops.bigmodel_lab.ctc(scores().log_softmax(2).detach().to("meta"), LETTERS.to("meta"))

    assert [(t.shape, t.dtype, t.stride()) for t in real] == [(t.shape, t.dtype, t.stride()) for t in without]
