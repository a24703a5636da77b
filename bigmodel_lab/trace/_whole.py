"""The model and the user's own program as one copy made of stand-ins."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bigmodel_lab.trace._copying import Copier, copies_in
from bigmodel_lab.trace._fake import stand_in
from bigmodel_lab.trace._outside import Outside


class Beside:
    """What was copied besides the model."""

    def __init__(self, copier: Copier) -> None:
        self._modules = copier.modules
        self.has_compiled = copier.has_compiled
        """Some part was compiled, and its copy is not."""

    def beside(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        """Modules that do not belong to the model, each with the name by which the program knows it, without those inside others."""
        known = set(model.modules())
        found = []
        for name, module in self._modules:
            if module not in known:
                found.append((name, module))
                known.update(module.modules())
        return found


def copies_of_stand_ins(
    model: nn.Module, program: Any, mode: FakeTensorMode, outside: Outside
) -> tuple[nn.Module, Any, Beside]:
    """The model and the program whose parameters and buffers are stand-ins; neither of the two is touched.

    Args:
        model: On any device; where it is a copy of the one that the program names, both names mean the same again.
        program: Any tree of functions, modules and objects.
        mode: All stand-ins of one trace belong to it.
        outside: Knows the stand-ins of all other tensors.
    """
    before = copies_in(model)

    def substitute(tensor: Tensor) -> Tensor:
        with mode:
            made = stand_in(tensor)
        outside.shares_memory(tensor, made)
        return made

    def loose(tensor: Tensor) -> Tensor:
        with mode:
            return outside.loose(tensor)

    copier = Copier(substitute, loose, before)
    copied = copier.copy(model)
    own = copier.copy(program)
    return copied, own, Beside(copier)
