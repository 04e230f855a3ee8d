"""Converts a padded signal piece by piece, and gets by with less memory or precision when it must."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from infer.lib import content
from infer.lib.content import ContentEncoder
from infer.lib.devices import ChunkPlan
from infer.lib.errors import BadCheckpoint, NoDevice
from infer.lib.f0.curve import F0Curve
from infer.lib.retrieval import FeatureIndex
from infer.vc import chunks
from infer.vc.chunks import Piece
from infer.vc.features import frame_count, piece_features
from infer.vc.noise import Noise
from infer.vc.notes import Note
from infer.vc.options import ConvertOptions
from infer.vc.shelf import ModelShelf
from infer.vc.timing import Stopwatch
from infer.vc.voice import Voice

OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
ProgressCall = Callable[[int, int], None]


@dataclass(frozen=True)
class Kit:
    """The models of one conversion."""

    voice: Voice
    encoder: ContentEncoder
    index: FeatureIndex | None
    shelf: ModelShelf

    def on_cpu(self) -> "Kit":
        shelf = self.shelf.on_cpu()
        return replace(self, voice=self.voice.on_cpu, encoder=shelf.encoder_for(self.voice), shelf=shelf)


@dataclass(frozen=True)
class Source:
    """What is converted: padded 16 kHz audio [N] and its pitch (None for voices without)."""

    padded: np.ndarray
    pitch: F0Curve | None
    pad: int  # samples of padding at each end

    def pitch_of(self, place: Piece) -> F0Curve | None:
        if self.pitch is None:
            return None
        return F0Curve(self.pitch.hz[place.first_frame : place.last_frame])


@dataclass
class PieceConverter:
    """`convert` yields the audio; afterwards `plan`, `n_pieces` and `warnings` tell how it went."""

    kit: Kit
    options: ConvertOptions
    noise: Noise
    watch: Stopwatch
    plan: ChunkPlan
    progress: ProgressCall
    n_pieces: int = 0
    warnings: list[str] = field(default_factory=list)

    def convert(self, source: Source) -> np.ndarray:
        """Audio [N] float32 at the voice's rate, without the padding.

        Raises NoDevice when even the smallest pieces on the CPU do not fit into memory.
        """
        while True:
            try:
                return self._attempt(source)
            except OUT_OF_MEMORY:
                pass  # leave the handler first: the traceback holds on to the memory of the failed piece
            self._make_do(source)

    def _attempt(self, source: Source) -> np.ndarray:
        audio = source.padded[source.pad : len(source.padded) - source.pad]
        points = chunks.split_points(audio, self.plan, self.options.split_rule)
        places = chunks.pieces(points, len(source.padded), self.plan)
        lengths = [self._length(place, source) for place in places]
        result = np.empty(sum(lengths), np.float32)
        self.n_pieces, at = len(places), 0
        for number, (place, length) in enumerate(zip(places, lengths, strict=True), start=1):
            result[at : at + length] = self._piece(place, source)[:length]
            at += length
            self.progress(number, len(places))
        return result

    def _length(self, place: Piece, source: Source) -> int:
        """Samples that a piece adds to the result."""
        frames = frame_count(place.samples, content.frames(place.samples))
        return max(frames - 2 * source.pad // chunks.WINDOW, 0) * self.kit.voice.spec.hop

    def _piece(self, place: Piece, source: Source) -> np.ndarray:
        """The audio of one piece without its context."""
        pitch = source.pitch_of(place)
        features = self._features(source.padded[place.start : place.stop], pitch)
        with self.watch("synthesis"):
            audio = self._synthesize(features, pitch and F0Curve(pitch.hz[: len(features)]), place.start)
        skipped = source.pad // chunks.WINDOW * self.kit.voice.spec.hop
        return audio[skipped : max(len(audio) - skipped, skipped)]

    def _features(self, audio: np.ndarray, pitch: F0Curve | None) -> torch.Tensor:
        """[P, D] for a piece of 16 kHz audio [N]."""
        with self.watch("features"):
            samples = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))
            found = self.kit.encoder.encode(samples, self.kit.voice.spec.version)
        with self.watch("index"):
            hz = None if pitch is None else pitch.hz.astype(np.float32)
            return piece_features(found, len(audio), hz, self.kit.index, self.options)

    def _synthesize(self, features: torch.Tensor, pitch: F0Curve | None, start: int) -> np.ndarray:
        voice, speaker = self.kit.voice, self.options.speaker_id
        draws = self.noise(voice.spec, len(features), start)
        audio = voice.synthesize(features, pitch, speaker, draws, self.options.noise_scale)
        if np.isfinite(audio).all():
            return audio
        if voice.dtype == torch.float32:
            raise BadCheckpoint(
                f"{voice.path.name} produces values that are not numbers", "the file is damaged"
            )
        self._note(
            "overflow", "{voice} overflows in half precision; it was used in fp32", voice=voice.path.name
        )
        self.kit = replace(self.kit, voice=voice.in_fp32)
        return self._synthesize(features, pitch, start)

    def _make_do(self, source: Source) -> None:
        """After running out of memory: smaller pieces, then the CPU, then NoDevice."""
        device = self.kit.voice.device
        if device != "cpu":
            torch.cuda.empty_cache()
        seconds = (len(source.padded) - 2 * source.pad) / chunks.SAMPLE_RATE
        plan = chunks.smaller(self.plan, seconds)
        if plan is not None:
            self.plan = plan
            sentence = "{device} ran out of memory; continued with pieces of about {seconds} s"
            self._note("smaller_pieces", sentence, device=device, seconds=f"{plan.x_center:g}")
        elif device != "cpu":
            self.kit = self.kit.on_cpu()
            sentence = "{device} ran out of memory even with short pieces; converted on the CPU"
            self._note("on_cpu", sentence, device=device)
        else:
            raise NoDevice(
                "this machine has too little free memory for the conversion", "close other programs"
            )

    def _note(self, kind: str, sentence: str, **values: object) -> None:
        self.warnings.append(Note(kind, sentence, **values))
