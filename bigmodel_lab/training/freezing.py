"""Transfer learning: parts of a model keep what they have learned, the others learn something new."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze(model: nn.Module, *patterns: str) -> tuple[str, ...]:
    """Keep parameters of a model from learning; an optimizer made afterwards leaves them out.

    A batch normalization whose parameters are all frozen goes to evaluation mode, so that its running mean and
    variance stay as they are, too; :func:`bigmodel_lab.fit` leaves it there.

    Args:
        model: Any model.
        patterns: Names of parameters or layers, ``*`` for anything: ``"conv1.weight"``, ``"conv1"``, ``"conv*"``.
            None at all freezes everything.

    Returns:
        Names of the parameters that match.

    Raises:
        UnknownNameError: A pattern matches nothing; lists the names.

    >>> import torch, bigmodel_lab as lab
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    >>> lab.freeze(model, "0")
    ('0.weight', '0.bias')
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['1.weight', '1.bias']
    """
    names = _set_learning(model, patterns, learns=False)
    hold_frozen_norms(model)
    return names


def unfreeze(model: nn.Module, *patterns: str) -> tuple[str, ...]:
    """Let parameters of a model learn again; an optimizer made before does not know them.

    Args:
        model: Any model.
        patterns: As for :func:`freeze`; none at all unfreezes everything.

    Returns:
        Names of the parameters that match.

    Raises:
        UnknownNameError: A pattern matches nothing; lists the names.

    >>> import torch, bigmodel_lab as lab
    >>> model = torch.nn.Linear(4, 3)
    >>> _ = lab.freeze(model)
    >>> lab.unfreeze(model, "bias"), model.weight.requires_grad
    (('bias',), False)
    """
    names = _set_learning(model, patterns, learns=True)
    for layer in _norms(model):
        if any(p.requires_grad for p in layer.parameters()):
            layer.train(model.training)
    return names


def hold_frozen_norms(model: nn.Module) -> None:
    """Put each batch normalization whose parameters are all frozen into evaluation mode.

    >>> model = nn.Sequential(nn.BatchNorm1d(2)).requires_grad_(False)
    >>> hold_frozen_norms(model)
    >>> model[0].training
    False
    """
    for layer in _norms(model):
        if _all_frozen(layer):
            layer.eval()


def learning_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Batch normalizations, by name, that take mean and variance from the batch when a run trains this model.

    >>> list(learning_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    ['1']
    """
    norms = {name: part for name, part in model.named_modules() if isinstance(part, _BATCH_NORMS)}
    # a run puts a model in evaluation mode into training mode, and leaves single parts of another as they are
    return {n: part for n, part in norms.items() if not _all_frozen(part) and (part.training or not model.training)}


def _all_frozen(layer: nn.Module) -> bool:
    parameters = list(layer.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)


def _set_learning(model: nn.Module, patterns: tuple[str, ...], *, learns: bool) -> tuple[str, ...]:
    """Nothing is changed where one of the patterns is wrong."""
    parameters = dict(model.named_parameters(remove_duplicate=False))  # a shared one goes by each of its names
    matched = {name for pattern in patterns or ("*",) for name in _matching(parameters, pattern)}
    for name in matched:
        parameters[name].requires_grad_(learns)
    return tuple(name for name in parameters if name in matched)


def _matching(names: dict[str, nn.Parameter], pattern: str) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
    if not found:
        raise UnknownNameError(text("freeze.kind", "parameter or layer"), pattern, names)
    return found


def _norms(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if isinstance(part, _BATCH_NORMS)]
