"""`gated_rnn`: the equations of its docstring, the samples it reads, and what gates cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.models.gated_rnn import MODEL, GatedRNN, as_sequence


def noise(*shape: int) -> Tensor:
    """The same numbers each time, in double precision."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def parts(gates: nn.Module, x: Tensor, h: Tensor, count: int) -> tuple[list[Tensor], list[Tensor]]:
    """W·x + b and W·h + b of each gate."""
    from_x = x @ gates.weight_ih_l0.T + gates.bias_ih_l0
    from_h = h @ gates.weight_hh_l0.T + gates.bias_hh_l0
    return list(from_x.chunk(count, 1)), list(from_h.chunk(count, 1))


def gru_by_hand(gates: nn.Module, x: Tensor) -> Tensor:
    """The state after the last step, by the equations of the docstring."""
    h = x.new_zeros(x.shape[0], gates.hidden_size)
    for step in x.unbind(1):
        (xr, xz, xn), (hr, hz, hn) = parts(gates, step, h, 3)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
    return h


def lstm_by_hand(gates: nn.Module, x: Tensor) -> Tensor:
    """The same for the LSTM."""
    h = c = x.new_zeros(x.shape[0], gates.hidden_size)
    for step in x.unbind(1):
        i, f, g, o = (a + b for a, b in zip(*parts(gates, step, h, 4), strict=True))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return h


@pytest.mark.parametrize(("cell", "by_hand"), [("gru", gru_by_hand), ("lstm", lstm_by_hand)])
def test_states_follow_the_equations(cell, by_hand):
    """The scores are those of the state that the equations give after 28 rows."""
    model = MODEL.create(seed=0, cell=cell).double()
    x = noise(3, 1, 28, 28)

    torch.testing.assert_close(model(x), model.output(by_hand(model.gates, x[:, 0])), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("cell", "times"), [("gru", 3), ("lstm", 4)])
def test_gates_add_weights(cell, times):
    """A layer with gates has three or four times the weights of a plain one: it is not less complex."""
    plain, gated = (
        sum(p.numel() for p in layer.parameters()) for layer in (nn.RNN(28, 128), GatedRNN(cell=cell).gates)
    )

    assert gated == times * plain


def test_gates_carry_a_gradient_over_many_steps():
    """With its forget gate open an LSTM brings the first of 100 steps a gradient that a plain layer loses."""

    def reach(layer: nn.Module) -> float:
        x = noise(1, 100, 4).float().requires_grad_()
        states, _ = layer(x)
        return float(torch.autograd.grad(states[0, -1].sum(), x)[0][0, 0].norm())

    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain, gated = nn.RNN(4, 16, batch_first=True), GatedRNN(input_shape=(100, 4), cell="lstm", units=16).gates
    with torch.no_grad():
        gated.bias_ih_l0[16:32] = 5  # σ(5) ≈ 0.99 of the memory stays at each step

    assert reach(gated) > 1e-4
    assert reach(plain) < reach(gated) * 1e-3


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 12), (3, 32, 32), (20, 5), (7,)])
def test_reads_images_and_sequences_of_any_size(cell, shape):
    """Images by rows, sequences by steps, plain numbers one by one; one score a class."""
    model = MODEL.create(seed=0, input_shape=shape, classes=4, cell=cell)

    assert model(torch.rand(2, *shape)).shape == (2, 4)


def test_rows_of_an_image_are_the_steps():
    """Step 5 holds row 5 of all colours."""
    x = noise(2, 3, 8, 6)

    assert torch.equal(as_sequence(x)[:, 5], x[:, :, 5].flatten(1))


def test_order_of_the_rows_matters():
    """An image upside down is another sequence."""
    model, x = MODEL.create(seed=0).double(), noise(1, 1, 28, 28)

    assert not torch.allclose(model(x), model(x.flip(2)))


def test_reads_text():
    """Token numbers pass through an embedding."""
    model = MODEL.create(seed=0, vocabulary=50, input_shape=(9,), classes=3)

    assert model(torch.ones(2, 9, dtype=torch.int64)).shape == (2, 3)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_padding_changes_nothing(cell):
    """A short text has the scores that it has without its padding."""
    model = MODEL.create(seed=0, vocabulary=50, input_shape=(9,), classes=3, cell=cell)
    words = torch.tensor([[4, 8, 15]])
    padded = torch.tensor([[4, 8, 15, 0, 0, 0]])

    torch.testing.assert_close(model(padded), model(words))


def test_empty_text_has_scores():
    """A text of padding alone is read as one padding."""
    model = MODEL.create(seed=0, vocabulary=50, input_shape=(4,), classes=3)

    assert model(torch.zeros(1, 4, dtype=torch.int64)).isfinite().all()


def test_unknown_cell_names_those_that_exist():
    """A misspelt cell is answered with the two that there are."""
    with pytest.raises(UnknownNameError, match=r"cell with gates named 'gro'.*'gru'.*gru, lstm"):
        GatedRNN(cell="gro")


@pytest.mark.parametrize(
    ("shape", "steps"),
    [((5, 1, 28, 28), (5, 28, 28)), ((5, 3, 32, 16), (5, 32, 48)), ((5, 7, 2), (5, 7, 2)), ((5, 9), (5, 9, 1))],
)
def test_every_sample_becomes_steps(shape, steps):
    """Images by rows, sequences as they are, features one by one."""
    assert as_sequence(torch.zeros(shape)).shape == steps


def test_a_step_of_a_colour_image_is_one_row_of_every_colour():
    """The numbers of a row stand together, red before green before blue."""
    image = torch.arange(12.0).reshape(1, 3, 2, 2)  # (B, C, H, W)

    assert as_sequence(image)[0, 1].tolist() == [2, 3, 6, 7, 10, 11]


def test_the_size_of_the_state_is_an_option():
    """The units are those of the state, and of a word of text."""
    model = GatedRNN(classes=3, input_shape=(9,), vocabulary=50, units=8)

    assert (model.gates.hidden_size, model.words.embedding_dim, model.output.in_features) == (8, 8, 8)


def test_the_padding_of_a_text_never_learns():
    """Token 0 stands for no word: its numbers get no gradient."""
    model = GatedRNN(classes=3, input_shape=(3,), vocabulary=5, units=4)
    model(torch.tensor([[2, 3, 0]])).sum().backward()

    assert model.words.weight.grad[0].abs().sum() == 0 < model.words.weight.grad[2].abs().sum()
