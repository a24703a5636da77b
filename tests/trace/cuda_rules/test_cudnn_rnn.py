"""LSTM and GRU as cuDNN runs them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bigmodel_lab.memory.requests import RequestTrace
from tests.trace.reading import after_forward, alive, alive_bytes, made_by, peak_bytes, phase, ran, trained

SAMPLES, STEPS, WIDTH, HIDDEN = 4, 10, 8, 16
X = torch.empty(SAMPLES, STEPS, WIDTH)
UNITS = SAMPLES * STEPS * HIDDEN
"""Hidden numbers of one direction of one layer over all time steps."""


def first_output(model: nn.Module, x: Tensor) -> Tensor:
    """A loss of the outputs."""
    return model(x)[0].sum()


def kept(trace: RequestTrace) -> list[int]:
    """Bytes that wait for the backward pass, single numbers apart, the largest first."""
    return sorted(
        (a.bytes for a in alive(trace, after_forward(trace)) if a.category == "activation" and a.bytes > 8),
        reverse=True,
    )


def test_lstm_keeps_four_gates_cell_and_its_tanh() -> None:
    """Six numbers a unit and step in one reserve, and the outputs, and the two starting states; no step by itself."""
    trace = trained(nn.LSTM(WIDTH, HIDDEN, batch_first=True), X, first_output)
    states = 2 * [SAMPLES * HIDDEN * 4]

    assert kept(trace)[:2] == [UNITS * 6 * 4, UNITS * 4]
    assert set(kept(trace)[2:]) <= set(states)
    assert len(trace.sequence) < 150


def test_gru_keeps_five() -> None:
    """Three gates and two sums."""
    assert kept(trained(nn.GRU(WIDTH, HIDDEN, batch_first=True), X, first_output))[0] == UNITS * 5 * 4


@pytest.mark.parametrize("batch_first", [True, False])
def test_both_layouts_take_the_same(batch_first: bool) -> None:
    """Only the order of dimensions differs."""
    x = X if batch_first else X.transpose(0, 1).contiguous()
    seen: list[torch.Size] = []

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        output = model(x)[0]
        seen.append(output.shape)
        return output.sum()

    trace = trained(nn.LSTM(WIDTH, HIDDEN, batch_first=batch_first), x, forward)

    assert seen[0] == (*x.shape[:2], HIDDEN)
    assert kept(trace)[0] == UNITS * 6 * 4


def test_two_directions_and_two_layers_multiply() -> None:
    """And outputs are twice as wide."""
    trace = trained(nn.LSTM(WIDTH, HIDDEN, num_layers=2, bidirectional=True, batch_first=True), X, first_output)

    assert kept(trace)[:2] == [4 * UNITS * 6 * 4, 2 * UNITS * 4]


def test_dropout_between_layers_keeps_what_it_let_through() -> None:
    """One more number for each unit below the last layer."""
    without = kept(trained(nn.LSTM(WIDTH, HIDDEN, num_layers=3, batch_first=True), X, first_output))[0]
    with_it = kept(trained(nn.LSTM(WIDTH, HIDDEN, num_layers=3, dropout=0.5, batch_first=True), X, first_output))[0]

    assert with_it - without == 2 * UNITS * 4


def test_final_states_have_the_right_shapes() -> None:
    """What models take as the summary of a sentence."""
    shapes: list[torch.Size] = []

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        _, (hidden, cell) = model(x)
        shapes.extend((hidden.shape, cell.shape))
        return hidden.sum()

    trained(nn.LSTM(WIDTH, HIDDEN, num_layers=2, bidirectional=True, batch_first=True), X, forward)

    assert shapes[:2] == [(4, SAMPLES, HIDDEN)] * 2


def test_a_narrow_projection_keeps_cells_of_full_width() -> None:
    """proj_size: the reserve counts cells, the output the projection."""
    trace = trained(nn.LSTM(WIDTH, HIDDEN, proj_size=4, batch_first=True), X, first_output)

    assert kept(trace)[:2] == [UNITS * 6 * 4, SAMPLES * STEPS * 4 * 4]


def test_gradients_of_all_weights_lie_in_one_buffer() -> None:
    """So cuDNN writes them; they are gradients, not temporaries."""
    model = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
    trace = trained(model, X, first_output)
    gradients = [a for a in alive(trace, phase(trace, "optimizer").start) if a.category == "gradient"]

    assert [a.bytes for a in gradients] == [4 * sum(p.numel() for p in model.parameters())]


def test_evaluation_keeps_no_reserve() -> None:
    """Outputs and states alone."""
    model = nn.LSTM(WIDTH, HIDDEN, batch_first=True).eval()
    trace = ran(torch.no_grad()(lambda model, x: model(x)), X, model=model)

    assert max(a.bytes for a in trace.allocations if a.category == "temporary") == UNITS * 4


def test_autocast_narrows_input_weights_and_reserve() -> None:
    """16 bits throughout, the results too."""

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.float16):
            return first_output(model, x)

    trace = trained(nn.LSTM(WIDTH, HIDDEN, batch_first=True), X, forward)

    assert kept(trace)[0] == UNITS * 6 * 2


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_packed_sequences_count_as_full(kind: type[nn.Module]) -> None:
    """The lengths are not known, so each sequence has all steps; the packed batch is a copy of the padded one."""
    lengths = torch.tensor([10, 7, 3, 1])

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        output, _ = pad_packed_sequence(model(packed)[0], batch_first=True)
        return output.sum()

    trace = trained(kind(WIDTH, HIDDEN, batch_first=True), X, forward)

    assert kept(trace)[0] == UNITS * (6 if kind is nn.LSTM else 5) * 4
    assert made_by(trace, "aten.cat")[0].bytes == X.numel() * 4


def test_packed_sequences_in_any_order() -> None:
    """enforce_sorted=False sorts samples first; the lengths may be a part of the batch."""

    def forward(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        packed = pack_padded_sequence(batch[0], batch[1].cpu(), batch_first=True, enforce_sorted=False)
        return model(packed)[1][0].sum()

    trace = trained(nn.LSTM(WIDTH, HIDDEN), (X, torch.ones(SAMPLES, dtype=torch.int64)), forward)

    assert kept(trace)[0] == UNITS * 6 * 4


def test_frozen_weights_get_no_gradient() -> None:
    """The input still does."""
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LSTM(WIDTH, HIDDEN, batch_first=True))
    model[1].requires_grad_(False)
    trace = trained(model, X, first_output, lambda w: torch.optim.SGD([p for p in w if p.requires_grad], lr=0.1))

    assert alive_bytes(trace, phase(trace, "optimizer").start, "gradient") == 4 * (WIDTH * WIDTH + WIDTH)
    assert peak_bytes(trace) > 0
