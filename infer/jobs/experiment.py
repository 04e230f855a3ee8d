"""An experiment: `logs/<name>`, everything one training run makes.

The only place where folder and file names inside an experiment are written. They are RVC's, so
that an experiment moves between programs; our own additions are `experiment.json` (what the
experiment was made with), `form.json` (what the page asked for), `speakers.json`, `sources.json`,
`report.json`, `recordings/` (uploaded ones), `mute/` and `ledger/`.
"""

import json
import random
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from infer.lib.errors import BadInput
from infer.lib.files import REPO, natural_key, safe_name, write_text
from infer.lib.models.spec import FEATURE_DIMS, rate_label

LATEST_STEP = 2333333  # RVC's fixed number in the name of a checkpoint that is overwritten
# A change of one of these would mix clips or tensors of two kinds in one experiment.
FIXED_SETTINGS = ("sample_rate",)


@dataclass(frozen=True)
class ExperimentSettings:
    """What the files of an experiment were made with. None: not decided yet."""

    sample_rate: int | None = None
    version: str | None = None
    use_f0: bool | None = None
    encoder: str | None = None
    f0_method: str | None = None
    fill_unvoiced: bool | None = None
    speaker_names: list[str] | None = None  # by number, "" for one without a name


@dataclass(frozen=True)
class TrainItem:
    """One line of the file list. The pitch files are None for a voice without pitch guidance."""

    stem: str
    wav: Path
    content: Path
    f0_coarse: Path | None
    f0_hz: Path | None
    speaker_id: int

    def line(self) -> str:
        """RVC's form: fields joined by `|`, absolute paths, backslashes doubled."""
        paths = [path for path in (self.wav, self.content, self.f0_coarse, self.f0_hz) if path]
        return "|".join([*(str(path).replace("\\", "\\\\") for path in paths), str(self.speaker_id)])


class Experiment:
    """Paths of an experiment folder, and the small files that describe it."""

    def __init__(self, root: Path | str):
        self.root = Path(root).absolute()

    @classmethod
    def find(cls, name_or_path: Path | str) -> "Experiment":
        """A bare name means `logs/<name>` of this program; anything with a folder is a path."""
        path = Path(name_or_path)
        if path.is_absolute() or len(path.parts) > 1:
            return cls(path)
        return cls(REPO / "logs" / safe_name(str(name_or_path), "experiment name"))

    @property
    def name(self) -> str:
        return self.root.name

    # folders -------------------------------------------------------------------------------

    @property
    def gt_wavs(self) -> Path:
        return self.root / "0_gt_wavs"

    @property
    def wavs_16k(self) -> Path:
        return self.root / "1_16k_wavs"

    @property
    def f0_coarse(self) -> Path:
        return self.root / "2a_f0"

    @property
    def f0_hz(self) -> Path:
        return self.root / "2b-f0nsf"

    def content(self, version: str) -> Path:
        return self.root / f"3_feature{FEATURE_DIMS[version]}"

    @property
    def recordings(self) -> Path:
        """Recordings that came through the page rather than from a folder of the user's."""
        return self.root / "recordings"

    @property
    def mute(self) -> "Experiment":
        """Silence in the same layout: two lines of it are added to every file list."""
        return Experiment(self.root / "mute")

    # files of one clip ----------------------------------------------------------------------

    def gt_wav(self, stem: str) -> Path:
        return self.gt_wavs / f"{stem}.wav"

    def wav_16k(self, stem: str) -> Path:
        return self.wavs_16k / f"{stem}.wav"

    def f0_coarse_file(self, stem: str) -> Path:
        return self.f0_coarse / f"{stem}.wav.npy"

    def f0_hz_file(self, stem: str) -> Path:
        return self.f0_hz / f"{stem}.wav.npy"

    def content_file(self, stem: str, version: str) -> Path:
        return self.content(version) / f"{stem}.npy"

    def mute_stem(self, sample_rate: int) -> str:
        return f"mute{rate_label(sample_rate)}"

    def remove_clip(self, stem: str) -> None:
        """Removes a clip and everything made from it, RVC's spectrogram cache included."""
        derived = [self.content_file(stem, version) for version in FEATURE_DIMS]
        derived += [self.f0_coarse_file(stem), self.f0_hz_file(stem)]
        derived += [self.gt_wavs / f"{stem}.spec.pt", self.wav_16k(stem), self.gt_wav(stem)]
        for path in derived:
            path.unlink(missing_ok=True)

    # files of the experiment ------------------------------------------------------------------

    @property
    def config_file(self) -> Path:
        return self.root / "config.json"

    @property
    def filelist(self) -> Path:
        return self.root / "filelist.txt"

    @property
    def settings_file(self) -> Path:
        return self.root / "experiment.json"

    @property
    def sources_file(self) -> Path:
        return self.root / "sources.json"

    @property
    def speakers_file(self) -> Path:
        return self.root / "speakers.json"

    @property
    def report_file(self) -> Path:
        return self.root / "report.json"

    @property
    def form_file(self) -> Path:
        """The page's form as it was when a step was last started."""
        return self.root / "form.json"

    @property
    def events_file(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def train_log(self) -> Path:
        return self.root / "train.log"

    @property
    def preprocess_log(self) -> Path:
        return self.root / "preprocess.log"

    @property
    def extract_log(self) -> Path:
        return self.root / "extract_f0_feature.log"

    @property
    def lock_file(self) -> Path:
        """Held by the run that slices into, or trains from, this experiment."""
        return self.root / "ledger" / "running.lock"

    def ledger_file(self, stage: str) -> Path:
        return self.root / "ledger" / f"{stage}.jsonl"

    def generator_checkpoint(self, step: int) -> Path:
        return self.root / f"G_{step}.pth"

    def discriminator_checkpoint(self, step: int) -> Path:
        return self.root / f"D_{step}.pth"

    def generator_files(self) -> list[Path]:
        """Generator checkpoints, the last written first, with or without a discriminator beside them."""
        return sorted(self.root.glob("G_*.pth"), key=lambda path: -path.stat().st_mtime)

    def checkpoints(self) -> list[int]:
        """Steps for which both the generator's and the discriminator's file exist, oldest first."""
        steps = {int(match[1]) for path in self.generator_files() if (match := _STEP.fullmatch(path.name))}
        return sorted(step for step in steps if self.discriminator_checkpoint(step).is_file())

    def index_files(self) -> list[Path]:
        """Finished indices (`added_*`), newest first."""
        return sorted(self.root.glob("added_*.index"), key=lambda path: -path.stat().st_mtime)

    # what it was made with ------------------------------------------------------------------

    def read_settings(self) -> ExperimentSettings:
        if not self.settings_file.is_file():
            return ExperimentSettings()
        try:
            values = json.loads(self.settings_file.read_text(encoding="utf-8"))
            known = {field.name for field in fields(ExperimentSettings)}
            return ExperimentSettings(**{key: value for key, value in values.items() if key in known})
        except (ValueError, AttributeError) as error:
            raise BadInput(
                f"{self.settings_file} is damaged ({error})", "delete it and run the steps again"
            ) from error

    def update_settings(self, **changes) -> ExperimentSettings:
        """Records `changes`. A changed sample rate is refused: its clips would not fit together."""
        old = self.read_settings()
        for key in FIXED_SETTINGS:
            before, after = getattr(old, key), changes.get(key)
            if before is not None and after is not None and before != after:
                raise BadInput(
                    f"experiment {self.name} was made with {key.replace('_', ' ')} {before}, not {after}",
                    "use a new experiment name for the other one",
                )
        new = replace(old, **changes)
        if new != old or not self.settings_file.is_file():
            write_text(self.settings_file, json.dumps(asdict(new), indent=2) + "\n")
        return new

    def speakers(self) -> dict[str, int]:
        """Speaker of each clip, where preprocessing recorded it."""
        if not self.speakers_file.is_file():
            return {}
        return json.loads(self.speakers_file.read_text(encoding="utf-8"))

    def write_speakers(self, speakers: dict[str, int]) -> None:
        write_text(self.speakers_file, json.dumps(speakers, indent=0, sort_keys=True) + "\n")

    # the training set -------------------------------------------------------------------------

    def stems(self) -> list[str]:
        """Clips at the target rate, in natural order. A stem ends at the first dot, as in RVC."""
        return _stems(self.gt_wavs, ".wav")

    def stems_16k(self) -> list[str]:
        return _stems(self.wavs_16k, ".wav")

    def training_items(self, version: str, use_f0: bool, speaker_id: int = 0) -> list[TrainItem]:
        """Clips for which every needed file exists; `speaker_id` where none was recorded."""
        ready = set(self.stems()) & set(_stems(self.content(version), ".npy"))
        if use_f0:
            ready &= set(_stems(self.f0_coarse, ".npy")) & set(_stems(self.f0_hz, ".npy"))
        speakers = self.speakers()
        return [
            self._item(stem, stem, (version, use_f0), speakers.get(stem, speaker_id))
            for stem in sorted(ready, key=natural_key)
        ]

    def mute_item(self, sample_rate: int, version: str, use_f0: bool, speaker_id: int = 0) -> TrainItem:
        """The silence item; its files lie under `mute/` with the stem `mute` (RVC's names)."""
        wav_stem = self.mute_stem(sample_rate)
        return self.mute._item("mute", wav_stem, (version, use_f0), speaker_id)

    def write_filelist(self, items: list[TrainItem], seed: int = 1234) -> None:
        """One line for each item, shuffled reproducibly, without a final newline."""
        lines = [item.line() for item in items]
        random.Random(seed).shuffle(lines)
        write_text(self.filelist, "\n".join(lines))

    def _item(self, stem: str, wav_stem: str, kind: tuple[str, bool], speaker_id: int) -> TrainItem:
        version, use_f0 = kind
        return TrainItem(
            stem=stem,
            wav=self.gt_wav(wav_stem),
            content=self.content_file(stem, version),
            f0_coarse=self.f0_coarse_file(stem) if use_f0 else None,
            f0_hz=self.f0_hz_file(stem) if use_f0 else None,
            speaker_id=speaker_id,
        )


_STEP = re.compile(r"G_(\d+)\.pth")


def _stems(folder: Path, suffix: str) -> list[str]:
    if not folder.is_dir():
        return []
    names = (
        path.name for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith(".")
    )
    return sorted({name.split(".")[0] for name in names}, key=natural_key)
