"""fp32, fp16 or bf16: what the networks compute in. Spectrograms and losses are fp32 always.

Weights and optimizer state are fp32 in every mode; fp16 and bf16 are autocast. bf16 has fp32's range
and needs no loss scaling. fp16 scales the loss: ONE scaler serves both optimizers, as in RVC. Each
optimizer is skipped on its own when its gradients overflow, and the common scale is lowered once at
the end of the step, so an overflow in one net cannot reach the weights of the other.
"""

from dataclasses import dataclass, field

import torch

LEAST_SCALE = 2.0**-20  # the search starts at 2^16 and halves at each overflow
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Precision:
    """How a step computes on a device."""

    name: str
    device: torch.device
    scaler: torch.amp.GradScaler = field(init=False)

    def __post_init__(self):
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")
        object.__setattr__(self, "scaler", scaler)

    def autocast(self) -> torch.autocast:
        """The context for the networks."""
        dtype = DTYPES.get(self.name)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def exact(self) -> torch.autocast:
        """The context for spectrograms and losses: everything stays fp32."""
        return torch.autocast(self.device.type, enabled=False)

    @property
    def scale_is_lost(self) -> bool:
        """fp16 found no loss scale at which gradients are finite; waits for the device."""
        return self.scaler.is_enabled() and self.scaler.get_scale() < LEAST_SCALE

    @property
    def steps_forgiven(self) -> int:
        """Non-finite steps in a row that are normal: fp16 searches its loss scale, others never recover."""
        return 9 if self.scaler.is_enabled() else 0
