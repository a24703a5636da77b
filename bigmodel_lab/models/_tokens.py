"""What the text models share: which tokens are real, and that there are any."""

from __future__ import annotations

import torch
from torch import Tensor

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text

PADDING = 0
"""Number of the token behind the end of a document."""


def lengths(tokens: Tensor) -> Tensor:
    """Tokens of each document without the padding behind them, at least 1, shape (samples,).

    Args:
        tokens: Shape (samples, length), 0 behind the end of each document.

    >>> lengths(torch.tensor([[5, 7, 0], [0, 0, 0]])).tolist()
    [2, 1]
    """
    return tokens.ne(PADDING).sum(1).clamp(min=1)


def real(tokens: Tensor) -> Tensor:
    """True where a document has a token, shape (samples, length); an empty document keeps its first place.

    >>> real(torch.tensor([[5, 7, 0], [0, 0, 0]])).tolist()
    [[True, True, False], [True, False, False]]
    """
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths(tokens).unsqueeze(1)


def need_vocabulary(model: str, vocabulary: int) -> None:
    """The data is text.

    Args:
        model: Name of the model, for the message.
        vocabulary: Number of different tokens.

    Raises:
        ConfigError: There are none.
    """
    if vocabulary < 1:
        raise ConfigError(
            text(
                "error.needs_text",
                "The model {model} reads text, but the data has {vocabulary} different tokens. Take text such as "
                "docs_topics.",
                model=model,
                vocabulary=vocabulary,
            )
        )
