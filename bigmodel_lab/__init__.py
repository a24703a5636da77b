"""bigmodel_lab: train PyTorch models in notebooks, live, within the GPU's limits.

    import bigmodel_lab as lab

    run = lab.fit("simple_cnn")                    # a documented model, embedded data, live dashboard
    with lab.watch(model, optimizer) as w: ...     # the same dashboard over your own loop
    lab.gpus()                                     # who is on the cards
    lab.doctor()                                   # what works here, and how to mend what does not
    lab.open_run(path)                             # any recorded run in the same dashboard
    lab.resume(path)                               # go on from a run's checkpoint, to the bit
    with lab.virtual_gpu("T4") as gpu: ...         # code on the CPU, with the memory of a card simulated
    lab.sweep("simple_cnn")                        # search for good settings; also lab.find_learning_rate(…)
    lab.estimate_memory("gpt2", gpu="T4")          # the peak of GPU memory, before running and without a GPU
    lab.find_batch_size("mlp", device="cuda")      # the largest micro-batch, estimated and tried for real
    lab.advise(run)                                # what would help: predicted, applied by a click, measured

Importing this package costs neither torch nor Jupyter nor NumPy: each public name is
loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel_lab.api._advice import Advice, advise
    from bigmodel_lab.api._batch_size import find_batch_size
    from bigmodel_lab.api._cross_validate import cross_validate
    from bigmodel_lab.api._data_report import DataReport, data_report
    from bigmodel_lab.api._fit import fit, fit_async
    from bigmodel_lab.api._freeze import freeze, unfreeze
    from bigmodel_lab.api._lightning import LightningCallback
    from bigmodel_lab.api._machine import doctor, gpus
    from bigmodel_lab.api._memory_estimate import Lora, MemoryEstimate, estimate_memory
    from bigmodel_lab.api._models_table import list_models
    from bigmodel_lab.api._range_test import find_learning_rate
    from bigmodel_lab.api._resume import load_weights, resume
    from bigmodel_lab.api._run import Run, open_run, runs
    from bigmodel_lab.api._subjects_table import list_subjects
    from bigmodel_lab.api._sweep import sweep
    from bigmodel_lab.api._training_run import TrainingRun
    from bigmodel_lab.api._transformers import TransformersCallback
    from bigmodel_lab.api._virtual_gpu import virtual_gpu
    from bigmodel_lab.api._watch import Watch, watch

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "DataReport",
    "LightningCallback",
    "Lora",
    "MemoryEstimate",
    "Run",
    "TrainingRun",
    "TransformersCallback",
    "Watch",
    "advise",
    "cross_validate",
    "data_report",
    "doctor",
    "estimate_memory",
    "find_batch_size",
    "find_learning_rate",
    "fit",
    "fit_async",
    "freeze",
    "gpus",
    "list_models",
    "list_subjects",
    "load_weights",
    "open_run",
    "resume",
    "runs",
    "sweep",
    "unfreeze",
    "virtual_gpu",
    "watch",
]

# Where each public name lives; its module is imported when the name is first used.
_HOMES = {
    "Advice": "_advice",
    "DataReport": "_data_report",
    "LightningCallback": "_lightning",
    "Lora": "_memory_estimate",
    "MemoryEstimate": "_memory_estimate",
    "Run": "_run",
    "TrainingRun": "_training_run",
    "TransformersCallback": "_transformers",
    "Watch": "_watch",
    "advise": "_advice",
    "cross_validate": "_cross_validate",
    "data_report": "_data_report",
    "doctor": "_machine",
    "estimate_memory": "_memory_estimate",
    "find_batch_size": "_batch_size",
    "find_learning_rate": "_range_test",
    "fit": "_fit",
    "fit_async": "_fit",
    "freeze": "_freeze",
    "gpus": "_machine",
    "list_models": "_models_table",
    "list_subjects": "_subjects_table",
    "load_weights": "_resume",
    "open_run": "_run",
    "resume": "_resume",
    "runs": "_run",
    "sweep": "_sweep",
    "unfreeze": "_freeze",
    "virtual_gpu": "_virtual_gpu",
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
