"""DCGAN: one step for two players."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.subjects.dcgan import DCGAN, batch, loss
from tests.subjects.shapes import on_meta, outputs, weights

SMALL = (8, 6, 4, 2)


@pytest.fixture
def model() -> DCGAN:
    """A small one with numbers."""
    torch.manual_seed(0)
    return DCGAN(SMALL)


@pytest.fixture
def drawn() -> dict[str, Tensor]:
    """Three images and their noise."""
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(t.shape, generator=generator) * 2 - 1 for name, t in batch(3).items()}


def gradients(player: nn.Module) -> list[Tensor]:
    """Taken away, so that the next backward pass starts anew."""
    taken = [weight.grad for weight in player.parameters()]
    player.zero_grad(set_to_none=True)
    return taken


def test_the_generator_grows_as_published():
    """Four times twice as large, from 4×4 to 64×64."""
    found = outputs(on_meta(DCGAN).generator, torch.empty(2, 100, device="meta"), of=nn.ConvTranspose2d)

    assert found == [(2, 512, 8, 8), (2, 256, 16, 16), (2, 128, 32, 32), (2, 3, 64, 64)]


def test_the_discriminator_shrinks_as_published():
    """The other way round."""
    found = outputs(on_meta(DCGAN).discriminator, torch.empty(2, 3, 64, 64, device="meta"), of=nn.Conv2d)

    assert found == [(2, 128, 32, 32), (2, 256, 16, 16), (2, 512, 8, 8), (2, 1024, 4, 4)]


def test_both_players_are_about_as_large():
    """18.9 and 17.2 million weights."""
    model = on_meta(DCGAN)

    assert (weights(model.generator), weights(model.discriminator)) == (18_855_040, 17_232_768)


def test_the_discriminator_learns_from_its_own_loss_alone(model: DCGAN, drawn: dict[str, Tensor]):
    """Real images are real, made ones are not; that these want to pass is none of its business."""
    loss(model, drawn).backward()
    together = gradients(model.discriminator)
    real = model.discriminator(drawn["images"])
    made = model.discriminator(model.generator(drawn["noise"]).detach())
    (F.softplus(-real).mean() + F.softplus(made).mean()).backward()

    torch.testing.assert_close(together, gradients(model.discriminator))


def test_the_generator_learns_from_its_own_loss_alone(model: DCGAN, drawn: dict[str, Tensor]):
    """Its images shall pass for real."""
    loss(model, drawn).backward()
    together = gradients(model.generator)
    gradients(model.discriminator)
    F.softplus(-model.discriminator(model.generator(drawn["noise"]))).mean().backward()

    torch.testing.assert_close(together, gradients(model.generator))


def test_pixels_lie_between_minus_1_and_1(model: DCGAN, drawn: dict[str, Tensor]):
    """The tanh at the end."""
    assert model.generator(drawn["noise"]).abs().max() <= 1


def test_the_loss_of_players_that_know_nothing_is_three_times_log_2(model: DCGAN, drawn: dict[str, Tensor]):
    """Each of the three judgements is a coin toss."""
    nn.init.zeros_(model.discriminator.judge.weight)

    assert float(loss(model, drawn).detach()) == pytest.approx(3 * 0.693147, abs=1e-4)


def test_one_sample_is_enough(model: DCGAN):
    """Batch normalization averages over places, too."""
    assert loss(model, batch(1)).isfinite()
