"""WaveNet: how far it looks back, and that it never looks ahead."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.subjects.wavenet import CausalConv, Layer, WaveNet, batch, loss, receptive_field
from tests.subjects.shapes import on_meta, outputs

LENGTH = 6200


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """Few channels, all thirty layers."""
    torch.manual_seed(0)
    return WaveNet(channels=4, skips=16).double()


def seen(model: nn.Module, place: int) -> list[int]:
    """Codes that decide about the scores of one place, in order: those for which the scores have a slope."""
    given: list[Tensor] = []

    def keep(_layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        given.append(inputs[0].double().requires_grad_())
        return (given[0],)

    hook = model.start.register_forward_pre_hook(keep)
    model(torch.randint(256, (1, LENGTH)))[0, :, place].sum().backward()
    hook.remove()
    return [shifted - 1 for shifted in given[0].grad.flatten().nonzero().flatten().tolist()]  # place 0 is the silence


def test_a_place_is_decided_by_the_6141_codes_before_it(small: nn.Module):
    """The receptive field; the code itself and those after it are not looked at."""
    assert seen(small, LENGTH - 1) == list(range(LENGTH - 1 - receptive_field(), LENGTH - 1))


def test_nothing_looks_ahead(small: nn.Module):
    """Early places see all codes before them and no other."""
    assert seen(small, 5) == [-1, 0, 1, 2, 3, 4]


def test_the_receptive_field_is_0_38_s():
    """At 16 kHz; the pieces of sound are just as long."""
    assert receptive_field() / 16_000 == pytest.approx(0.384, abs=0.001)
    assert 0 <= 6144 - receptive_field() < 4


def test_every_layer_keeps_the_length():
    """512 channels as long as the sound: what fills the memory."""
    codes = torch.empty(2, 500, dtype=torch.int64, device="meta")
    found = outputs(on_meta(WaveNet), codes, of=CausalConv)

    assert found == [(2, 512, 500), *30 * [(2, 1024, 500)]]


def test_gaps_double_ten_times_and_start_again():
    """1, 2, 4 … 512, three times."""
    gaps = [layer.look.conv.dilation[0] for layer in on_meta(WaveNet).layers]

    assert gaps == 3 * [2**n for n in range(10)]


def test_the_last_layer_has_no_residual_way():
    """It would lead nowhere, and its weights would never learn."""
    layers = [layer for layer in on_meta(WaveNet).modules() if isinstance(layer, Layer)]

    assert [layer.residual is None for layer in layers] == 29 * [False] + [True]


def test_a_model_that_knows_nothing_loses_log_256():
    """All codes are equally likely."""
    model = WaveNet(channels=2, skips=2)
    nn.init.zeros_(model.decide[-1].weight)
    nn.init.zeros_(model.decide[-1].bias)

    assert float(loss(model, batch(2, length=16)).detach()) == pytest.approx(5.545177, abs=1e-4)


def test_it_learns_a_rhythm():
    """A small one guesses a sound of four codes that repeat, better with each step."""
    torch.manual_seed(0)
    model = WaveNet(channels=4, skips=8)
    given = {"codes": torch.tensor([[10, 240, 128, 60] * 8])}
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        step = loss(model, given)
        step.backward()
        optimizer.step()
        losses.append(step.detach())

    assert losses[-1] < losses[0] - 1


def test_a_convolution_looks_back_two_gaps():
    """Window 3: the place itself, one gap before, two gaps before."""
    layer = CausalConv(1, 1, gap=4)
    x = torch.zeros(1, 1, 20)
    x[0, 0, 5] = 1.0
    with torch.no_grad():
        heard = (layer(x) != layer(torch.zeros_like(x)))[0, 0]

    assert heard.nonzero().flatten().tolist() == [5, 9, 13]


def test_a_gate_that_is_shut_lets_nothing_pass():
    """The tanh of one half times the sigmoid of the other: only the biases of what follows remain."""
    layer = Layer(2, 3, gap=1, last=False)
    nn.init.constant_(layer.look.conv.bias[2:], -1e4)
    x = torch.randn(1, 2, 6)
    on, skip = layer(x)

    torch.testing.assert_close(skip, layer.skip.bias[None, :, None].expand(1, 3, 6))
    torch.testing.assert_close(on, x + layer.residual.bias[None, :, None])
