"""The voice: one Synthesizer for v1 and v2, with and without pitch, at 32, 40 and 48 kHz.

Attribute names (`enc_p`, `dec`, `enc_q`, `flow`, `emb_g`) and their order are those of published weights and
optimizer states, hence a file format.
"""

from dataclasses import dataclass

import torch
from torch import nn

from infer.lib.models import blocks
from infer.lib.models.encoders import PosteriorEncoder, TextEncoder
from infer.lib.models.flow import CONTEXT_FRAMES, Flow
from infer.lib.models.generator import Decoder
from infer.lib.models.spec import ModelSpec

NOISE_SCALE = 0.66666


@dataclass(frozen=True)
class Pitch:
    """A pitch curve at 100 frames per second, in both forms the networks need."""

    coarse: torch.Tensor  # [B, T] long, 1..255
    hz: torch.Tensor  # [B, T] float, 0 where unvoiced


@dataclass(frozen=True)
class Draws:
    """Randomness handed in by the caller; what is None is drawn from torch's generator."""

    prior: torch.Tensor | None = None  # [B, C, T] normal, inference
    posterior: torch.Tensor | None = None  # [B, C, T] normal, training
    starts: torch.Tensor | None = None  # [B] long, first frame of each training window
    source: torch.Tensor | None = None  # [B, samples, 1] normal, both
    from_prior: torch.Tensor | None = None  # [B] bool, training: which clips the prior's mean speaks
    spoken_as: torch.Tensor | None = None  # [B] long, training: the speakers of those (None: their own)


@dataclass(frozen=True)
class TrainOutput:
    """What the losses need of one training pass."""

    audio: torch.Tensor  # [B, 1, segment * hop]
    starts: torch.Tensor  # [B] long, in frames
    content_mask: torch.Tensor  # [B, 1, T]
    spec_mask: torch.Tensor  # [B, 1, T]
    z: torch.Tensor  # this and all below [B, C, T]
    z_p: torch.Tensor
    m_p: torch.Tensor
    logs_p: torch.Tensor
    m_q: torch.Tensor
    logs_q: torch.Tensor


class Synthesizer(nn.Module):
    """Content, pitch and speaker to sound. `posterior=False` builds what a voice file holds."""

    def __init__(self, spec: ModelSpec, posterior: bool = True):
        super().__init__()
        self.spec = spec
        self.enc_p = TextEncoder(spec)
        self.dec = Decoder(spec)
        self.enc_q = PosteriorEncoder(spec) if posterior else None
        self.flow = Flow(spec)
        self.emb_g = nn.Embedding(spec.n_speakers, spec.gin_channels)

    @property
    def gradient_checkpointing(self) -> bool:
        """Recompute the decoder's stages and the posterior encoder in the backward pass, to save memory."""
        return self.dec.gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, active: bool) -> None:
        self.dec.gradient_checkpointing = active
        if self.enc_q is not None:
            self.enc_q.gradient_checkpointing = active

    def forward(
        self,
        content: torch.Tensor,
        lengths: torch.Tensor,
        pitch: Pitch | None,
        spectrogram: torch.Tensor,
        spec_lengths: torch.Tensor,
        *,
        speaker_ids: torch.Tensor,
        draws: Draws | None = None,
    ) -> TrainOutput:
        """One training pass: content [B, T, D], lengths [B], pitch [B, T], spectrogram [B, F, T], ids [B].

        The clips of `draws.from_prior` are spoken from their content by the prior's mean, as a conversion
        without noise does, instead of from the posterior; with `draws.spoken_as` by other speakers.
        """
        draws = draws or Draws()
        speaker = self.emb_g(speaker_ids).unsqueeze(2)  # [B, G, 1]
        m_p, logs_p, content_mask = self.enc_p(content, _coarse(pitch), lengths)
        spec_mask = blocks.length_mask(spec_lengths, spectrogram.shape[2], m_p.dtype)
        m_q, logs_q = self.enc_q(spectrogram, spec_mask, speaker)
        z = _sample(m_q, logs_q, draws.posterior) * spec_mask
        z_p = self.flow(z, spec_mask, speaker)
        starts = draws.starts
        if starts is None:
            starts = _random_starts(spec_lengths, self.spec.segment_frames)
        spoken = z
        if draws.from_prior is not None:
            chosen = draws.from_prior[:, None, None]
            if draws.spoken_as is not None:
                speaker = torch.where(chosen, self.emb_g(draws.spoken_as).unsqueeze(2), speaker)
            said = self.flow(m_p * spec_mask, spec_mask, speaker, reverse=True) * spec_mask
            spoken = torch.where(chosen, said, z)
        window = cut_windows(spoken, starts, self.spec.segment_frames)
        f0_hz = None if pitch is None else cut_windows(pitch.hz, starts, self.spec.segment_frames)
        audio = self.dec(window, f0_hz, speaker, draws.source)
        return TrainOutput(audio, starts, content_mask, spec_mask, z, z_p, m_p, logs_p, m_q, logs_q)

    @torch.no_grad()
    def infer(
        self,
        content: torch.Tensor,
        lengths: torch.Tensor,
        pitch: Pitch | None,
        speaker_ids: torch.Tensor,
        draws: Draws | None = None,
        *,
        noise_scale: float = NOISE_SCALE,
        skip_head: int | None = None,
        return_length: int | None = None,
        return_length2: int | None = None,
    ) -> torch.Tensor:
        """Audio [B, T * hop] in -1..1 of content [B, T, D], lengths [B], pitch [B, T] and ids [B].

        For streams: `skip_head` and `return_length` select the frames skip_head..skip_head + return_length to
        be spoken, the ones before being context; `return_length2` stretches them to that many frames, which
        moves the formants. A `draws.prior` longer than what passes the flow lends its tail.
        """
        draws = draws or Draws()
        speaker = self.emb_g(speaker_ids).unsqueeze(2)  # [B, G, 1]
        head = skip_head or 0
        flow_head = max(head - CONTEXT_FRAMES, 0)
        m_p, logs_p, mask = self.enc_p(content, _coarse(pitch), lengths, flow_head)
        noise = None if draws.prior is None else draws.prior[:, :, -m_p.shape[2] :]
        z = self.flow(_sample(m_p, logs_p, noise, noise_scale) * mask, mask, speaker, reverse=True)
        z = z * mask
        f0_hz = None if pitch is None else pitch.hz
        if skip_head is not None or return_length is not None:
            length = content.shape[1] - head if return_length is None else return_length
            z = z[:, :, head - flow_head :][:, :, :length]
            f0_hz = None if f0_hz is None else f0_hz[:, head : head + length]
        return self.dec(z, f0_hz, speaker, draws.source, return_length2).squeeze(1)

    def fuse_weight_norm(self) -> "Synthesizer":
        """Fuse all weight norms, in place: faster inference, no training afterwards."""
        blocks.fuse_weight_norm(self)
        return self


def cut_windows(frames: torch.Tensor, starts: torch.Tensor, length: int) -> torch.Tensor:
    """[B, ..., length]: of each clip in frames [B, ..., T] the window from its entry of starts [B]."""
    index = starts.unsqueeze(1) + torch.arange(length, device=starts.device)  # [B, length]
    index = index.view(len(starts), *(1,) * (frames.dim() - 2), length)
    return torch.gather(frames, -1, index.expand(*frames.shape[:-1], length))


def _random_starts(lengths: torch.Tensor, segment: int) -> torch.Tensor:
    places = (lengths - segment + 1).clamp(min=1)
    return (torch.rand(len(lengths), device=lengths.device) * places).long()


def _sample(
    mean: torch.Tensor, log_deviation: torch.Tensor, noise: torch.Tensor | None, scale: float = 1.0
) -> torch.Tensor:
    """A draw [B, C, T] of the normal distribution with this mean and `scale` times this deviation."""
    if noise is None:
        noise = torch.randn_like(mean)
    return mean + torch.exp(log_deviation) * noise.to(mean.dtype) * scale


def _coarse(pitch: Pitch | None) -> torch.Tensor | None:
    return None if pitch is None else pitch.coarse
