"""Which threads hold a handle of cuBLAS, as each handle keeps a workspace of the caching allocator."""

from __future__ import annotations

from threading import Lock, Thread, current_thread


class Handles:
    """The handles of cuBLAS on one device.

    Each thread that multiplies matrices has one; where it ends, its handle, and the workspace with it, waits for the next
    thread that needs one. The backward pass has a thread of its own, which never ends. Source: pytorch
    ``aten/src/ATen/cuda/detail/DeviceThreadHandles.h``; ``benchmarks/gpu/paths.py`` compares it with PyTorch.

    >>> handles = Handles()
    >>> handles.of_this_thread(), handles.of_backward(), handles.beside_backward
    (0, 1, 1)
    """

    def __init__(self) -> None:
        """Nobody has one."""
        self._lock = Lock()
        self._held_by: list[Thread | None] = []  # None is the thread of the backward pass

    def of_this_thread(self) -> int:
        """The number of the handle that the calling thread has from now on, from 0."""
        return self._of(current_thread())

    def of_backward(self) -> int:
        """The number of the handle that the backward pass has from now on, from 0."""
        return self._of(None)

    @property
    def beside_backward(self) -> int:
        """Handles with a workspace while a step runs, beside that of its backward pass; at least 1."""
        with self._lock:
            others = sum(holder is not None for holder in self._held_by)
            takes_over = None not in self._held_by and self._idle() is not None
        return max(1, others - takes_over)

    def forget(self) -> None:
        """All workspaces were given back; those who multiply again get new ones."""
        with self._lock:
            self._held_by.clear()

    def _of(self, holder: Thread | None) -> int:
        with self._lock:
            if holder in self._held_by:
                return self._held_by.index(holder)
            idle = self._idle()
            if idle is None:
                self._held_by.append(holder)
                return len(self._held_by) - 1
            self._held_by[idle] = holder
            return idle

    def _idle(self) -> int | None:
        """A handle whose thread has ended."""
        ended = (at for at, thread in enumerate(self._held_by) if thread is not None and not thread.is_alive())
        return next(ended, None)
