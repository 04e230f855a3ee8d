"""Measures a voice by what it makes of shared/audio/sources: pitch, likeness, words, level, joins.

    python -m tools.starter.measure_voice --model-name=FILE --target=0=DIR [--target=1=DIR] --output=DIR

Each source is converted to each target speaker, transposed by the whole semitones between their median
pitches, and compared by estimators that the conversion did not use (Praat and WORLD's harvest against
fcpe or rmvpe), by Resemblyzer and by pocketsphinx. Results in the output folder are not made again, so the
conversion may run on one machine (`--judge=no`) and the rest on another (without a voice).
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from infer.jobs.command import option, parse
from infer.lib.audio import load, probe
from tools.bench.judge import SAMPLE_RATE, PitchMatch, Similarity, compare_pitch, level_db
from tools.starter import joins, material
from tools.starter.conversions import LONG, Target, convert_missing, long_source, result_path
from tools.starter.material import SHARED, Take
from tools.starter.scores import error_rate, words_of
from tools.starter.words import Recogniser

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PITCH_METHODS = ("pm", "harvest")
Heard = tuple[list[str], list[str]]  # words of the text, words understood


@dataclass(frozen=True)
class MeasureVoiceOptions:
    """Convert the sources to each speaker of a voice and print what was measured."""

    output: Path = option(help="folder of the results")
    target: tuple[str, ...] = option(help="ID=FOLDER, a speaker and recordings of theirs; repeat")
    model_name: Path | None = option(None, help="voice file (default: nothing is converted)")
    index: tuple[Path, ...] = option((), help="index of the voice, or one for each target in their order")
    without: Path | None = option(None, help="recordings that trained the voice: no takes to compare with")
    heldout: bool = option(False, help="convert the held-out recordings too: more words to count")
    judge: bool = option(True, help="measure the results")
    index_rate: float = option(0.75, help="share of the indexed features")
    f0_method: str = option("auto", help="pitch method of the conversion")
    encoder: str = option("auto", help="content encoder: auto, hubert, starter, or a path")
    shared: Path = option(SHARED, help="folder that holds speech/ and audio/")
    assets: Path = option(ASSETS, help="folder of the models")
    device: str = option("cpu", help="cpu, cuda:0, ...")


@dataclass(frozen=True)
class ClipScores:
    """What one conversion came to. `likeness` is source-target, output-target, output-source."""

    name: str
    longer_s: float
    louder_db: float
    sound: bool  # finite and not silent
    pitch: dict[str, PitchMatch]
    likeness: tuple[float, float, float]
    words: tuple[Heard, Heard] | None  # of the source, of the output


def run(options: MeasureVoiceOptions) -> None:
    """Converts what is missing; prints one table for each target and what it must hold."""
    sources = material.sources(options.shared)
    takes = sources + (_more(options.shared, sources) if options.heldout else [])
    for target in _targets(options):
        if options.model_name:
            convert_missing(_converter(options), target, takes, options.output)
        if options.judge:
            print_target(target, sources, takes, options.output)


def print_target(target: Target, sources: list[Take], takes: list[Take], folder: Path) -> None:
    similarity = Similarity(target.takes)
    made = [(take, result_path(folder, target, take.path.stem)) for take in takes]
    made = [(take, path) for take, path in made if path.is_file()]
    print(f"speaker {target.speaker_id}, median {target.pitch_hz:.0f} Hz, {len(target.takes)} takes")
    print("clip | longer, s | louder, dB | F0 correlation, without slips, slips: Praat; harvest")
    print("     | similarity source-target, output-target, output-source | word errors source, output")
    scores = []
    for take, path in made:
        scores.append(measure(take, path, similarity))
        print(line(scores[-1]), flush=True)
    wanted = {take.path.stem for take in sources}
    print_summary([score for score in scores if score.name in wanted], scores, similarity.unity)
    print_joins(long_source(sources), result_path(folder, target, LONG))


def measure(take: Take, result: Path, similarity: Similarity) -> ClipScores:
    source, output = load(take.path, SAMPLE_RATE), load(result, SAMPLE_RATE)
    return ClipScores(
        name=take.path.stem,
        longer_s=(len(output) - len(source)) / SAMPLE_RATE,
        louder_db=level_db(output) - level_db(source),
        sound=bool(np.isfinite(output).all() and output.any()),
        pitch={method: compare_pitch(source, output, method) for method in PITCH_METHODS},
        likeness=similarity.of(take.path, result),
        words=_words(take, result) if take.text and take.language.startswith("en") else None,
    )


def line(score: ClipScores) -> str:
    """One line of figures."""
    pitch = "; ".join(
        f"{match.correlation:.3f}, {match.without_slips:.3f}, {match.slips:.1%}"
        for match in score.pitch.values()
    )
    likeness = ", ".join(f"{value:.3f}" for value in score.likeness)
    words = ", ".join(f"{error_rate([heard]):.1%}" for heard in score.words) if score.words else "not spoken"
    figures = (f"{score.longer_s:+.3f}", f"{score.louder_db:+.1f}", pitch, likeness, words)
    return " | ".join((score.name, *figures, *(() if score.sound else ("NOT FINITE OR SILENT",))))


def print_summary(sources: list[ClipScores], scores: list[ClipScores], unity: float) -> None:
    """The worst or the mean of each figure, over shared/audio/sources; words over everything as well."""
    if not sources:
        print("nothing was converted")
        return
    for method in PITCH_METHODS:
        plain = min(score.pitch[method].correlation for score in sources)
        steady = min(score.pitch[method].without_slips for score in sources)
        print(f"lowest F0 correlation by {method}: {plain:.3f}, without slips {steady:.3f} (wanted 0.95)")
    to_target = float(np.mean([score.likeness[1] for score in sources]))
    nearer = sum(score.likeness[1] > score.likeness[2] for score in sources)
    print(
        f"mean similarity to the target: {to_target:.3f} (wanted 0.75), single takes {to_target * unity:.3f}"
    )
    print(f"nearer to the target than to the source: {nearer} of {len(sources)} clips (wanted all)")
    for label, chosen in (("sources", sources), ("everything", scores)):
        before, after = _word_errors(chosen)
        points = 100 * (after - before)
        print(f"word errors on {label}: {before:.1%} -> {after:.1%}, {points:+.1f} points (wanted 15)")
    loudest = max((score.louder_db for score in sources), key=abs)
    print(f"largest difference in level: {loudest:+.1f} dB (wanted 3)")
    print(f"largest error in duration: {max((s.longer_s for s in sources), key=abs):+.3f} s")
    print(f"finite and not silent: {sum(score.sound for score in scores)} of {len(scores)}")


def print_joins(source: np.ndarray, result: Path) -> None:
    """The largest jump at a join, beside what is usual in the same recording."""
    if not result.is_file():
        return
    sample_rate = probe(result).sample_rate
    output = load(result, sample_rate)
    jumps = [joins.jump(output, sample_rate, time_s) for time_s in joins.join_times(source)]
    usual = joins.usual_jump(output, sample_rate)
    largest = max(jumps, default=0)
    print(f"largest jump at {len(jumps)} joins: {largest:.2f} (elsewhere 99 % are below {usual:.2f})")


def _word_errors(scores: Iterable[ClipScores]) -> tuple[float, float]:
    spoken = [score.words for score in scores if score.words]
    return error_rate(before for before, _ in spoken), error_rate(after for _, after in spoken)


def _words(take: Take, result: Path) -> tuple[Heard, Heard]:
    said = words_of(take.text)
    return (said, list(_heard(take.path))), (said, list(_heard(result)))


@cache
def _heard(path: Path) -> tuple[str, ...]:
    return tuple(_recogniser().words(load(path, SAMPLE_RATE)))


@cache
def _recogniser() -> Recogniser:
    return Recogniser()


def _targets(options: MeasureVoiceOptions) -> list[Target]:
    indexes = (
        options.index if len(options.index) == len(options.target) else options.index * len(options.target)
    )
    indexes = indexes[: len(options.target)] or (None,) * len(options.target)
    pairs = zip(options.target, indexes, strict=True)
    return [Target.read(text, index, options.without) for text, index in pairs]


@cache
def _converter(options: MeasureVoiceOptions):
    from infer.vc.options import ConvertOptions
    from infer.vc.shelf import ModelShelf
    from infer.vc.voice import Voice
    from tools.starter.conversions import Converter

    voice = Voice.load(options.model_name, options.device)
    shelf = ModelShelf(options.assets, options.device, "fp32", options.encoder)
    controls = ConvertOptions(index_rate=options.index_rate, f0_method=options.f0_method)
    return Converter(voice, shelf, controls)


def _more(shared: Path, sources: list[Take]) -> list[Take]:
    """Held-out recordings that are not among the sources."""
    known = {take.path for take in sources}
    return [take for take in material.heldout(shared) if take.path not in known]


def main(argv: list[str] | None = None) -> int:
    run(parse(MeasureVoiceOptions, sys.argv[1:] if argv is None else argv, "tools.starter.measure_voice"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
