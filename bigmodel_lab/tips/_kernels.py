"""Which optimizers of PyTorch have which kernels on CUDA."""

from __future__ import annotations

BY_LISTS = frozenset(
    ("asgd", "adadelta", "adagrad", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop", "rprop", "sgd")
)
"""Work on all parameters at once on CUDA unless told otherwise: those that call ``_default_to_fused_or_foreach``."""
FUSED = frozenset(("sgd", "adam", "adamw", "adagrad"))
"""Have one kernel for the whole update, ``fused=True``: torch.optim 2.13."""
