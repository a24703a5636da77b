"""Activation checkpointing of repeated blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigmodel_lab.training.checkpointing import checkpoint_blocks, repeated_blocks
from tests.estimate.plans import Blocks


def test_the_blocks_are_what_a_list_repeats() -> None:
    """Not the layers inside of them."""
    model = Blocks()

    assert repeated_blocks(model) == list(model.blocks)


def test_of_several_repeated_classes_the_one_with_most_weights() -> None:
    """Here the wide layers, not the norms."""
    model = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))

    assert [type(block) for block in repeated_blocks(model)] == [nn.Linear, nn.Linear]


def test_modules_without_weights_are_no_blocks() -> None:
    """Activations repeated in a sequence."""
    assert repeated_blocks(nn.Sequential(nn.ReLU(), nn.ReLU())) == []


def test_a_model_without_repetition_stays_as_it_is() -> None:
    """And the answer is 0."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    before = model[0].forward

    assert checkpoint_blocks(model) == 0
    assert model[0].forward == before


def test_numbers_and_gradients_are_the_same() -> None:
    """Recomputing changes nothing but memory."""
    model = Blocks()
    x = torch.randn(5, 16)
    plain = torch.autograd.grad(model(x).sum(), list(model.parameters()))

    assert checkpoint_blocks(model) == 2

    again = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    assert all(torch.allclose(a, b) for a, b in zip(plain, again, strict=True))


def test_blocks_run_twice() -> None:
    """Once forward, once in the backward pass, up to what is needed."""
    model = Blocks()
    checkpoint_blocks(model)
    calls: list[int] = []
    model.blocks[0][1].register_forward_hook(lambda *_: calls.append(1))

    model(torch.randn(5, 16)).sum().backward()

    assert len(calls) == 2


def test_names_of_weights_stay() -> None:
    """A state dict fits before and after."""
    model = Blocks()
    names = list(model.state_dict())
    checkpoint_blocks(model)

    assert list(model.state_dict()) == names


def test_a_model_that_can_do_it_itself_is_asked() -> None:
    """As models of the Transformers library."""

    class Own(Blocks):
        asked = False

        def gradient_checkpointing_enable(self) -> None:
            self.asked = True

    model = Own()

    assert checkpoint_blocks(model) == 2
    assert model.asked
    assert "forward" not in vars(model.blocks[0])


def test_keywords_reach_the_block() -> None:
    """A mask that is given by name."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor, *, mask: Tensor) -> Tensor:
            out: Tensor = self.linear(x) * mask
            return out

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Masked() for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x, mask=torch.zeros(4))
            return x

    model = Model()
    checkpoint_blocks(model)

    assert not model(torch.ones(1, 4)).any()
