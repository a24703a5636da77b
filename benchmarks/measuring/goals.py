"""What is asked of the documented models, and whether they reached it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measuring.documents import Result
from bigmodel_lab.data import load_data
from bigmodel_lab.data.docs_next_token import unigram_entropy


@dataclass(frozen=True)
class Goal:
    """Least mean accuracy on the test samples."""

    accuracy: float
    """0 … 1."""
    data: str
    """Name of the data that it is asked on."""


_EMBEDDED = {
    "simple_cnn": Goal(0.94, "digits"),
    "mnist_cnn": Goal(0.94, "digits"),
    "mnist_cnn_functional": Goal(0.94, "digits"),
    "mlp": Goal(0.95, "digits"),
    "bilstm_text": Goal(0.85, "docs_topics"),
}
ON_MNIST = {
    "simple_cnn": Goal(0.98, "mnist"),
    "mnist_cnn": Goal(0.98, "mnist"),
    "mnist_cnn_functional": Goal(0.98, "mnist"),
}
"""Asked on real MNIST only; the document of the last one reports 0.9900."""
NATS = 0.5
"""Least margin below the unigram entropy, in nats a token, that a model of the next token has to reach."""


def judge(results: list[Result]) -> list[tuple[bool, str]]:
    """One line for each goal that was measured, and whether it was reached."""
    lines = []
    for result in results:
        goal = (ON_MNIST if result.data == "mnist" else _EMBEDDED).get(result.model)
        if goal is not None and goal.data == result.data:
            lines.append((result.mean >= goal.accuracy, f"{_name(result)}: {result.mean:.4f} ≥ {goal.accuracy}"))
        if result.data == "docs_next_token":
            lines.append(_below_unigram(result))
    return [(passed, f"{'pass' if passed else 'FAIL'}  {line}") for passed, line in lines]


def _below_unigram(result: Result) -> tuple[bool, str]:
    entropy = unigram_entropy(load_data(result.data), "test")
    loss = sum(result.losses) / len(result.losses)
    line = f"{_name(result)}: loss {loss:.3f}, unigram entropy {entropy:.3f}; {entropy - loss:.3f} ≥ {NATS} nats a token below"
    return entropy - loss >= NATS, line


def _name(result: Result) -> str:
    return f"{result.model} on {result.data}"
