"""L1 and L2 against their formulas, and where they do not belong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.training.penalties import penalty_of
from tests.training.fakes import FakeLog, tiny_model


class ByHand(nn.Module):
    """Computes its gradients itself."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        """Scores."""
        with torch.no_grad():
            self.x = x
            return self.layer(x)

    def backward_by_hand(self, output, labels, share):
        """Gradients of the mean cross-entropy."""
        delta = (output.softmax(1) - nn.functional.one_hot(labels, 10)) * (share / len(labels))
        self.layer.weight.grad = delta.T @ self.x
        self.layer.bias.grad = delta.sum(0)


def layer(*weights: float) -> nn.Module:
    """One output, these weights and no bias."""
    made = nn.Linear(len(weights), 1, bias=False)
    made.weight.data = torch.tensor([weights])
    return made


@pytest.mark.parametrize(
    ("prices", "price", "gradient"),
    [
        ({"l1": 0.5}, 0.5 * 5, [0.5, -0.5, 0.0]),
        ({"l2": 0.5}, 0.5 * 13, [2.0, -3.0, 0.0]),
        ({"l1": 0.5, "l2": 0.5}, 0.5 * 18, [2.5, -3.5, 0.0]),
    ],
)
def test_penalty_is_the_formula(prices, price, gradient):
    """The sum of |w| and of w², each times its price; their gradients are the sign and twice the weight."""
    model = layer(2.0, -3.0, 0.0)
    penalty = penalty_of(model, **prices)()
    penalty.backward()

    assert penalty.item() == pytest.approx(price)
    assert model.weight.grad[0].tolist() == pytest.approx(gradient)


def test_no_price_costs_nothing():
    """Without prices there is no function to call at each step."""
    assert penalty_of(layer(1.0)) is None


def test_frozen_weights_have_no_price():
    """What cannot learn cannot become smaller."""
    model = nn.Sequential(layer(10.0), layer(2.0))
    model[0].requires_grad_(requires_grad=False)

    assert penalty_of(model, l1=1.0)().item() == 2.0


def test_recorded_loss_is_that_of_the_data(make):
    """The first row of a run with a penalty equals that of one without."""
    logs = FakeLog(), FakeLog()
    for log, l2 in zip(logs, (0.0, 10.0), strict=True):
        make(log=log, l2=l2, max_steps=1).run()

    first, priced = (log.streams["step"].column("loss") for log in logs)
    assert first == priced


@pytest.mark.parametrize("price", ["l1", "l2"])
def test_penalty_makes_weights_smaller(make, price):
    """After the same steps the weights of a run with a price are smaller."""
    free, priced = make(), make(**{price: 0.01})
    free.run(), priced.run()

    assert priced.model[0].weight.abs().sum() < free.model[0].weight.abs().sum() / 2


def test_l2_equals_half_the_weight_decay(make):
    """For plain SGD ``l2=λ`` is ``weight_decay=2λ``."""
    priced = make(optimizer="sgd", l2=0.05)
    decayed = make(optimizer="sgd", optimizer_options={"weight_decay": 0.1})
    priced.run(), decayed.run()

    assert torch.allclose(priced.model[0].weight, decayed.model[0].weight, atol=1e-6)


def test_accumulated_micro_batches_pay_once(make):
    """However a batch is cut, a step pays the penalty once."""
    whole = make(nn.Sequential(tiny_model()[0], tiny_model()[3]), micro_batch_size=16, l2=0.1, optimizer="sgd")
    parts = make(
        nn.Sequential(tiny_model()[0], tiny_model()[3]),
        micro_batch_size=4,
        gradient_accumulation_steps=4,
        l2=0.1,
        optimizer="sgd",
    )
    whole.run(), parts.run()

    assert torch.allclose(whole.model[0].weight, parts.model[0].weight, atol=1e-5)


@pytest.mark.parametrize("setting", [{"l1": 0.1}, {"l2": 0.1}, {"dropout": 0.5}])
def test_gradients_by_hand_know_no_penalty(make, setting):
    """A model that computes its gradients itself refuses what only autograd would see."""
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} needs autograd, but ByHand computes"):
        make(ByHand(), **setting)


def test_gradients_by_hand_train_without(make, log):
    """The same model trains as it is."""
    make(ByHand(), optimizer="sgd", learning_rate=1.0).run()
    losses = log.streams["epoch"].column("loss")

    assert losses[-1] < losses[0]
