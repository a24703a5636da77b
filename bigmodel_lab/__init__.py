"""bigmodel_lab: train PyTorch models in notebooks, live, within the GPU's limits.

    import bigmodel_lab as lab

    run = lab.fit("simple_cnn")                    # a documented model, embedded data, live dashboard
    with lab.watch(model, optimizer) as w: ...     # the same dashboard over your own loop
    lab.gpus()                                     # who is on the cards
    lab.doctor()                                   # what works here, and how to mend what does not
    lab.open_run(path)                             # any recorded run in the same dashboard

Importing this package costs neither torch nor Jupyter nor NumPy: each public name is
loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel_lab.api._fit import fit, fit_async, list_models
    from bigmodel_lab.api._lightning import LightningCallback
    from bigmodel_lab.api._machine import doctor, gpus
    from bigmodel_lab.api._run import Run, open_run, runs
    from bigmodel_lab.api._training_run import TrainingRun
    from bigmodel_lab.api._transformers import TransformersCallback
    from bigmodel_lab.api._watch import Watch, watch

__version__ = "0.1.0"

__all__ = [
    "LightningCallback",
    "Run",
    "TrainingRun",
    "TransformersCallback",
    "Watch",
    "doctor",
    "fit",
    "fit_async",
    "gpus",
    "list_models",
    "open_run",
    "runs",
    "watch",
]

# Where each public name lives; its module is imported when the name is first used.
_HOMES = {
    "LightningCallback": "_lightning",
    "Run": "_run",
    "TrainingRun": "_training_run",
    "TransformersCallback": "_transformers",
    "Watch": "_watch",
    "doctor": "_machine",
    "fit": "_fit",
    "fit_async": "_fit",
    "gpus": "_machine",
    "list_models": "_fit",
    "open_run": "_run",
    "runs": "_run",
    "watch": "_watch",
}

# What a person wanted to do when one of these packages turns out to be missing, and the extra that brings it.
_OPTIONAL = {
    "torch": ("train or watch a model", "train"),
    "lightning": ("use the Lightning callback", "lightning"),
    "transformers": ("use the Transformers callback", "transformers"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}"
        raise AttributeError(message)
    try:
        home = import_module(f"{__name__}.api.{_HOMES[name]}")
    except ModuleNotFoundError as missing:
        if missing.name not in _OPTIONAL:
            raise
        from bigmodel_lab.errors import MissingPackageError

        purpose, extra = _OPTIONAL[missing.name]
        raise MissingPackageError(missing.name, purpose, extra) from missing
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
