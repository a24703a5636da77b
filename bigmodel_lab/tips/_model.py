"""What a model is made of, as far as tips care."""

from __future__ import annotations

from torch import nn

from bigmodel_lab.tips._facts import ModelFacts

_RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)  # noqa: SLF001 (the common base of all dropouts)


def model_facts(model: nn.Module, *, compiled: bool = False) -> ModelFacts:
    """What a model is made of.

    Args:
        model: On any device.
        compiled: ``torch.compile`` is in force.

    >>> model_facts(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())).batch_norms
    1
    """
    parts = list(model.modules())
    return ModelFacts(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        convolutions=sum(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in parts),
        batch_norms=sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in parts),  # noqa: SLF001
        random_layers=sum(isinstance(part, _RANDOM) for part in parts),
        is_compiled=compiled or any(hasattr(part, "_orig_mod") for part in parts),
    )
