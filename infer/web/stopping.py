"""How a running conversion is stopped: asked between its pieces, and within the synthesis of a piece.

A piece of half a minute takes a slow CPU longer than anyone waits for a stop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infer.web.engine_result import Stopped


@dataclass(frozen=True)
class Watch:
    """What the pipeline tells after each piece; raises Stopped once `cancelled()` says so."""

    progress: Callable[[int, int], None]
    cancelled: Callable[[], bool]

    def __call__(self, done: int, total: int) -> None:
        self.progress(done, total)
        if done < total:
            self.check()

    def begin(self) -> None:
        """The models are loaded; how many pieces there are is not known yet."""
        self.check()
        self.progress(0, 0)

    def check(self) -> None:
        if self.cancelled():
            raise Stopped


@contextmanager
def stoppable(network: Any, check: Callable[[], None]) -> Iterator[None]:
    """Meanwhile every layer of `network` (a torch module) calls `check` before it computes."""
    # Copies of the network made meanwhile keep their hooks: they must do nothing afterwards.
    checks = [check]

    def before(module: Any, inputs: Any) -> None:
        for call in checks:
            call()

    handles = [module.register_forward_pre_hook(before) for module in network.modules()]
    try:
        yield
    finally:
        checks.clear()
        for handle in handles:
            handle.remove()
