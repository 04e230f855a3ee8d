"""Measures content encoders: phones understood, speakers given away, sentences found again.

    python -m tools.starter.measure_encoder --encoder=FILE [--encoder=FILE ...] --shared=DIR

Each file holds the phone heads beside the network. The phone error rate is that of each head, read without
a language model, on the held-out speakers; the probe and the retrieval are explained in their modules.
"mel" is what the network itself sees: log-mel, normalised, every second frame.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
from torch.nn import functional

from infer.jobs.command import option, parse
from infer.lib.audio import load
from infer.lib.content.base import SAMPLE_RATE
from infer.lib.content.starter import StarterEncoder
from infer.lib.errors import BadCheckpoint, BadInput
from tools.starter import learner, material, phones, probe, retrieval
from tools.starter.material import SHARED, Take
from tools.starter.scores import error_rate

PARTS = ("phones", "speakers", "sentences")
PROBED_CORPORA = ("librispeech", "vctk")
SILENCE_DB = 40
ALL = "all"
HEADS = ("phones_ctc", "phones_frame")
# Training on frames leaves the first version's CTC head without blanks: its frame head reads better, and
# the mean of three frames rids it of phones that last 20 ms.
READINGS = {
    "CTC, greedy": ("phones_ctc", 1),
    "frames, mean of 3": ("phones_frame", 3),
}
Features = Callable[[np.ndarray], np.ndarray]  # audio [N] at 16 kHz -> [T, D]


@dataclass(frozen=True)
class MeasureEncoderOptions:
    """Print phone error rate, speaker probe and sentence retrieval of content encoders."""

    encoder: tuple[Path, ...] = option(help="safetensors file with its phone heads; repeat to compare")
    shared: Path = option(SHARED, help="folder that holds speech/ and audio/")
    heldout: Path = option(material.HELDOUT, help="table of the recordings never trained on")
    part: tuple[str, ...] = option(PARTS, help="what to measure; repeat for several", choices=PARTS)
    n_speakers: int = option(0, help="speakers of the probe, evenly chosen; 0 takes all")
    british: str = option("en-gb", help="phones expected of British speakers", choices=("en-gb", "en-us"))
    device: str = option("cpu", help="cpu, cuda:0, ...")


class Measured:
    """An encoder and its phone heads, `phones_ctc` and `phones_frame`."""

    def __init__(self, path: Path, device: str):
        self.encoder = StarterEncoder(path, device)
        self.phones = phones.inventory(path)
        tensors = learner.tensors_of(path)
        self._heads = {
            name: (tensors[f"{name}.weight"], tensors[f"{name}.bias"])
            for name in HEADS
            if f"{name}.weight" in tensors
        }
        if not self._heads:
            raise BadCheckpoint(f"{path} holds no phone head", "measure the file that training wrote")

    def content(self, audio: np.ndarray) -> np.ndarray:
        return self.encoder.encode(torch.from_numpy(audio), "v2").cpu().numpy()

    def mel(self, audio: np.ndarray) -> np.ndarray:
        """[T, 80], frame for frame beside the content."""
        mel = self.encoder.log_mel(torch.from_numpy(audio).to(self.encoder.device))
        mel = (mel - mel.mean()) / (mel.std(unbiased=False) + 1e-3)
        return mel[:, ::2].T.cpu().numpy()

    def heard(self, audio: np.ndarray) -> dict[str, list[str]]:
        """Phones by each way to read the heads."""
        content = torch.from_numpy(self.content(audio))
        chances = {name: torch.softmax(content @ w.T + b, -1) for name, (w, b) in self._heads.items()}
        return {
            label: self._read(chances[head], smoothing)
            for label, (head, smoothing) in READINGS.items()
            if head in chances
        }

    def _read(self, chances: torch.Tensor, smoothing: int) -> list[str]:
        """The likeliest phone of each frame, repetitions merged, blanks dropped."""
        smooth = functional.avg_pool1d(chances.T[None], smoothing, 1, smoothing // 2)[0].T
        path = torch.unique_consecutive(smooth.argmax(-1)).tolist()
        return [self.phones[index] for index in path if index != phones.BLANK]


def run(options: MeasureEncoderOptions) -> None:
    """Prints one table for each part."""
    encoders = {path.stem: Measured(path, options.device) for path in options.encoder}
    first = next(iter(encoders.values()))
    views: dict[str, Features] = {"mel": first.mel} | {name: e.content for name, e in encoders.items()}
    if "phones" in options.part:
        print_phones(encoders, material.heldout(options.shared, options.heldout), options.british)
    if "speakers" in options.part:
        print_speakers(views, probed_takes(options.shared, options.n_speakers))
    if "sentences" in options.part:
        print_sentences(views, material.heldout(options.shared) + material.speech(options.shared))


def print_phones(encoders: dict[str, Measured], takes: list[Take], british: str) -> None:
    """Error rates for each corpus, by the espeak phones and by the 39 classes."""
    said = _said(takes, british)
    print(f"phone error rate on {len(takes)} recordings of held-out speakers (British as {british})")
    for name, encoder in encoders.items():
        heard = [encoder.heard(load(take.path, SAMPLE_RATE)) for take in takes]
        for reading in heard[0]:
            for corpus in [*sorted({take.corpus for take in takes}), ALL]:
                pairs = [
                    (reference, found[reading])
                    for take, reference, found in zip(takes, said, heard, strict=True)
                    if corpus in (take.corpus, ALL)
                ]
                print(f"  {name} | {reading} | {corpus} | {_rates(pairs)}", flush=True)


def _rates(pairs: list[tuple[list[str], list[str]]]) -> str:
    n_phones = sum(len(reference) for reference, _ in pairs)
    short = error_rate((phones.folded(a), phones.folded(b)) for a, b in pairs)
    return f"{n_phones} phones | {error_rate(pairs):.1%} | 39 classes {short:.1%}"


def _said(takes: list[Take], british: str) -> list[list[str]]:
    """Phones of the texts, by one process for each language."""
    spoken = [british if take.language == "en-gb" else take.language for take in takes]
    said: list[list[str]] = [[] for _ in takes]
    for language in set(spoken):
        places = [i for i, name in enumerate(spoken) if name == language]
        written = phones.phones_of_many([takes[i].text for i in places], language)
        for i, phones_of_text in zip(places, written, strict=True):
            said[i] = phones_of_text
    return said


def probed_takes(shared: Path, n_speakers: int) -> list[Take]:
    """Recordings of all speakers of the probe, or of every so many of them."""
    takes = [take for take in material.speech(shared) if take.corpus in PROBED_CORPORA]
    speakers = sorted({take.speaker for take in takes})
    step = max(len(speakers) // n_speakers, 1) if n_speakers else 1
    chosen = set(speakers[::step])
    return [take for take in takes if take.speaker in chosen]


def print_speakers(views: dict[str, Features], takes: list[Take]) -> None:
    """Accuracy of the probe on each view, and its share of what it reaches on mel."""
    print("speaker probe: accuracy (share of mel's)")
    reached: dict[str, float] = {}
    for name, features in views.items():
        speakers: dict[str, list[np.ndarray]] = {}
        for take in takes:
            if (audio := _readable(take.path)) is not None:
                speakers.setdefault(take.speaker, []).append(features(audio))
        for pooling in probe.POOLINGS:
            found = probe.probe(speakers, pooling)
            share = found.accuracy / reached.setdefault(pooling, found.accuracy)
            size = f"{found.speakers} speakers, {found.tested} tested"
            print(f"  {name} | {pooling} | {size} | {found.accuracy:.1%} ({share:.2f})", flush=True)


def print_sentences(views: dict[str, Features], takes: list[Take]) -> None:
    """Retrieval of sentences that several speakers read."""
    takes = shared_sentences(takes)
    print(f"same sentence of another speaker is the nearest: {len(takes)} recordings")
    audio = [_trimmed(load(take.path, SAMPLE_RATE)) for take in takes]
    for name, features in views.items():
        utterances = [
            retrieval.Utterance(take.text, take.speaker, features(sound))
            for take, sound in zip(takes, audio, strict=True)
        ]
        for in_parts, label in ((False, "whole sentences"), (True, "1 s of them")):
            found = retrieval.retrieve(utterances, in_parts)
            size = f"{found.searches} searches, chance {found.chance:.1%}"
            print(f"  {name} | {label} | {size} | {found.share:.1%}", flush=True)


def shared_sentences(takes: list[Take]) -> list[Take]:
    """One take for each speaker of each English text that at least two speakers read."""
    takes = [take for take in takes if take.text and take.language.startswith("en")]
    once = {(take.speaker, take.text): take for take in reversed(takes)}
    readers: dict[str, int] = {}
    for _, text in once:
        readers[text] = readers.get(text, 0) + 1
    return [take for (_, text), take in sorted(once.items()) if readers[text] > 1]


def _readable(path: Path) -> np.ndarray | None:
    """A few recordings of the corpus cannot be decoded; they are left out, and named."""
    try:
        return load(path, SAMPLE_RATE)
    except BadInput as error:
        print(f"  left out: {error}")
        return None


def _trimmed(audio: np.ndarray) -> np.ndarray:
    return librosa.effects.trim(audio, top_db=SILENCE_DB)[0]


def main(argv: list[str] | None = None) -> int:
    run(parse(MeasureEncoderOptions, sys.argv[1:] if argv is None else argv, "tools.starter.measure_encoder"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
