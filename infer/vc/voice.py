"""A voice ready to speak: its network on a device, and what its file says about it."""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from infer.lib import checkpoint
from infer.lib.checkpoint_layout import first_named, gain_of, names_of, noise_scale_of
from infer.lib.errors import BadInput
from infer.lib.f0.curve import F0Curve
from infer.lib.models.spec import ModelSpec
from infer.lib.models.synthesizer import NOISE_SCALE, Draws, Pitch, Synthesizer
from infer.lib.models.unfilled import unfilled
from infer.lib.starter_files import voice_name

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def dtype_of(device: str, precision: str) -> torch.dtype:
    """fp16 only where it is faster and was asked for. bf16 is too coarse for a waveform: fp32 instead."""
    return torch.float32 if device == "cpu" else DTYPES.get(precision, torch.float32)


@dataclass(frozen=True)
class Voice:
    """One voice file in memory. `encoder` is the recorded content encoder, None for RVC's files."""

    path: Path
    spec: ModelSpec
    net: Synthesizer
    device: str
    dtype: torch.dtype
    encoder: str | None = None
    fill_unvoiced: bool = False
    info: str = ""
    speaker_names: tuple[str, ...] = ()  # by number, "" for one without; () if none is told
    noise_scale: float = NOISE_SCALE
    gain: float = 1.0  # factor for its sound

    @classmethod
    def load(cls, path: Path, device: str = "cpu", precision: str = "fp32") -> "Voice":
        """Raises MissingFile or BadCheckpoint with the reason."""
        return cls.of(checkpoint.read_voice(path), Path(path), device, precision)

    @classmethod
    def of(
        cls, file: "checkpoint.VoiceFile", path: Path, device: str = "cpu", precision: str = "fp32"
    ) -> "Voice":
        """What was read from `path`, on a device."""
        dtype = dtype_of(device, precision)
        told = noise_scale_of(file.extra)
        return cls(
            path=path,
            spec=file.spec,
            net=_network(file, device, dtype),
            device=device,
            dtype=dtype,
            encoder=file.encoder,
            fill_unvoiced=bool(file.fill_unvoiced),
            info=file.info,
            speaker_names=names_of(file.extra),
            noise_scale=NOISE_SCALE if told is None else told,
            gain=10 ** ((gain_of(file.extra) or 0) / 20),
        )

    @property
    def name(self) -> str:
        return voice_name(self.path)

    def check_speaker(self, speaker_id: int) -> None:
        """Raises BadInput unless the voice has this speaker."""
        if not 0 <= speaker_id < self.spec.n_speakers:
            raise BadInput(
                f"{self.path.name} has no speaker {speaker_id}",
                f"its speakers are 0..{self.spec.n_speakers - 1}",
            )

    def speaker_of(self, name: str) -> int:
        """The number of a speaker by name (or number); no name is the first who has one, else 0.

        Raises BadInput.
        """
        if not name:
            return first_named(self.speaker_names)
        known = [told.casefold() for told in self.speaker_names]
        if name.casefold() in known:
            return known.index(name.casefold())
        if name.isdecimal():
            return int(name)
        told = ", ".join(filter(None, self.speaker_names)) or f"0..{self.spec.n_speakers - 1}"
        raise BadInput(f"{self.name} has no speaker {name}", f"its speakers are {told}")

    @torch.inference_mode()
    def synthesize(
        self,
        features: torch.Tensor,
        pitch: F0Curve | None,
        speaker_id: int,
        draws: Draws | None = None,
        noise_scale: float | None = None,
    ) -> np.ndarray:
        """Audio [T * hop] float32 of features [T, D]; `pitch` has T frames, None iff the voice uses none.

        `noise_scale` None is the voice's own.
        """
        scale = self.noise_scale if noise_scale is None else noise_scale
        content = features.to(self.device, self.dtype)[None]  # [1, T, D]
        lengths = torch.tensor([content.shape[1]], device=self.device)
        speaker = torch.tensor([speaker_id], device=self.device)
        audio = self.net.infer(
            content, lengths, self._pitch(pitch), speaker, self._placed(draws), noise_scale=scale
        )
        return audio.reshape(-1).float().cpu().numpy() * self.gain

    @cached_property
    def in_fp32(self) -> "Voice":
        """The same voice in single precision, made once."""
        if self.dtype == torch.float32:
            return self
        return replace(self, net=_copied(self.net, self.device), dtype=torch.float32)

    @cached_property
    def on_cpu(self) -> "Voice":
        """The same voice in single precision on the CPU, made once."""
        if self.device == "cpu":
            return self
        return replace(self, net=_copied(self.net, "cpu"), device="cpu", dtype=torch.float32)

    def _pitch(self, curve: F0Curve | None) -> Pitch | None:
        if curve is None:
            return None
        coarse = torch.from_numpy(np.ascontiguousarray(curve.coarse(), dtype=np.int64))
        hz = torch.from_numpy(np.ascontiguousarray(curve.hz, dtype=np.float32))
        # Hz stay in fp32: the phase of the source is a sum over many samples.
        return Pitch(coarse[None].to(self.device), hz[None].to(self.device))

    def _placed(self, draws: Draws | None) -> Draws | None:
        if draws is None:
            return None
        return replace(
            draws, prior=draws.prior.to(self.device, self.dtype), source=draws.source.to(self.device)
        )


def _copied(net: Synthesizer, device: str) -> Synthesizer:
    """The network in fp32 on `device`, tensor by tensor: this is asked for when memory is full."""
    moved = {id(p): torch.nn.Parameter(p.detach().to(device).float(), False) for p in net.parameters()}
    return copy.deepcopy(net, moved)


def _network(file: "checkpoint.VoiceFile", device: str, dtype: torch.dtype) -> Synthesizer:
    with unfilled():
        net = Synthesizer(file.spec, posterior=False)
    net.load_state_dict(file.weights, assign=True)
    net.fuse_weight_norm()
    return net.to(device, dtype).eval().requires_grad_(False)
