"""What a content encoder is: 16 kHz speech in, what was said (not who said it) out, 50 frames a second."""

import hashlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from infer.lib.checkpoint_weights import all_finite
from infer.lib.errors import BadInput
from infer.lib.models.spec import FEATURE_DIMS

SAMPLE_RATE = 16000
HOP = 320  # samples per frame
MIN_SAMPLES = 400  # the first frame's span; the convolutions fail below it
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def frames(n_samples: int) -> int:
    """Content frames of `n_samples` at 16 kHz (at least 400 of them)."""
    return (n_samples - 80) // HOP


class ContentEncoder(ABC):
    """`name` identifies the weights: `<family>:<12 hex digits>`; features of two names never mix."""

    family: str
    name: str
    device: torch.device
    dtype: torch.dtype
    network: torch.nn.Module  # computes the content; whoever wants to stop it hooks into its layers

    def encode(self, audio: torch.Tensor, version: str) -> torch.Tensor:
        """16 kHz audio [N] -> content [T, 256] (v1) or [T, 768] (v2), float32 on the encoder's device.

        Raises BadInput for less than 400 samples, for samples that are not finite, for a version this
        encoder cannot serve, and where half precision overflowed.
        """
        self.dim(version)
        audio = self._checked(audio)
        with torch.inference_mode(), exact_convolutions(self.dtype):
            content = self._content(audio, version).float()
        if not torch.isfinite(content).all():
            raise BadInput("the content features are not finite", "use --precision=fp32")
        return content

    def dim(self, version: str) -> int:
        """Width of the content of a version. Raises BadInput if this encoder has none."""
        if version not in FEATURE_DIMS:
            raise BadInput(f"unknown version {version!r}", "use v1 or v2")
        return FEATURE_DIMS[version]

    @abstractmethod
    def _content(self, audio: torch.Tensor, version: str) -> torch.Tensor:
        """[N] float32 on the device -> [T, D]."""

    def _checked(self, audio: torch.Tensor) -> torch.Tensor:
        if audio.ndim != 1:
            raise BadInput(f"content is made from mono audio, not from shape {list(audio.shape)}")
        if audio.shape[0] < MIN_SAMPLES:
            raise BadInput(
                f"the audio is too short: {audio.shape[0]} samples at 16 kHz, {MIN_SAMPLES} needed"
            )
        audio = audio.to(self.device, torch.float32)
        if not torch.isfinite(audio).all():
            raise BadInput("the audio holds samples that are not finite")
        return audio

    def _autocast(self) -> AbstractContextManager:
        """Half precision for the matrix products; norms and the residual stream stay in float32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def as_dtype(precision: str | torch.dtype) -> torch.dtype:
    """`fp32`, `fp16`, `bf16`, or a dtype as it is. Raises BadInput for anything else."""
    if isinstance(precision, torch.dtype):
        return precision
    if precision not in DTYPES:
        raise BadInput(f"unknown precision {precision!r}", "use fp32, fp16 or bf16")
    return DTYPES[precision]


@contextmanager
def exact_convolutions(dtype: torch.dtype):
    """In fp32, cuDNN's TF32 is off: it would round the features to about three digits."""
    if dtype != torch.float32 or not torch.backends.cudnn.is_available():
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def fingerprint(tensors: dict[str, torch.Tensor], names: list[str]) -> str:
    """12 hex digits of some tensors, rounded to fp16: an fp16 file and the fp32 file of the same
    weights agree."""
    digest = hashlib.sha256()
    for name in names:
        half = tensors[name].detach().to("cpu", torch.float16).contiguous()
        digest.update(f"{name} {list(half.shape)}".encode())
        digest.update(half.numpy().astype("<f2").tobytes())
    return digest.hexdigest()[:12]


def check_tensors(tensors: dict[str, torch.Tensor], shapes: dict[str, torch.Size]) -> str | None:
    """What is wrong with `tensors` against the shapes wanted, in words; None if nothing is."""
    for name, shape in shapes.items():
        if name not in tensors:
            return f"lacks {name}"
        if tensors[name].shape != shape:
            return f"holds {name} as {list(tensors[name].shape)} instead of {list(shape)}"
        if not tensors[name].is_floating_point() or not all_finite(tensors[name]):
            return f"holds values in {name} that are not finite numbers"
    return None
