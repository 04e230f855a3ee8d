"""Networks without values: for their shapes, or to take over the tensors of a file."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = ("normal_", "uniform_", "kaiming_uniform_", "xavier_uniform_")


@contextmanager
def unfilled() -> Iterator[None]:
    """Modules made inside lie on the meta device: nothing is allocated, and no initial weight is computed.

    Computing on the meta device would import torch's compiler, more than a second of the first conversion.
    """
    with torch.device("meta"), _NoValues():
        yield


class _NoValues(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        if name == "norm_except_dim":  # of weight norm, over all axes but the first
            return torch.empty(len(args[0]), *(1,) * (args[0].dim() - 1))
        return func(*args, **kwargs)
