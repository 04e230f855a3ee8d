"""The parameters of the named endpoints: RVC 2.2's names and order first, ours behind them."""

from dataclasses import dataclass, field

from gradio import FileData


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


@dataclass(frozen=True)
class ChangeVoice:
    """Choose the voice for the following calls of this client that name none."""

    voice: str
    protect: float = 0.33
    protect_batch: float = 0.33


@dataclass(frozen=True)
class Convert:
    """Convert one recording. `voice` is a file of weights/; none: the one of infer_change_voice."""

    speaker_id: int
    source: FileData
    f0_up_key: float = 0.0
    f0_file: FileData | None = None
    f0_method: str = "auto"
    index_path: str = ""
    index_choice: str = ""
    index_rate: float = 0.75
    filter_radius: float = 3
    resample_sr: int = 0
    rms_mix_rate: float = 0.25
    protect: float = 0.33
    voice: str = ""
    format: str = "wav"
    seed: int = 0


@dataclass(frozen=True)
class ConvertBatch:
    """Convert a folder, or uploaded files, into an output folder."""

    speaker_id: int
    folder: str = ""
    output_folder: str = "opt"
    files: list[FileData] = field(default_factory=list)
    f0_up_key: float = 0.0
    f0_method: str = "auto"
    index_path: str = ""
    index_choice: str = ""
    index_rate: float = 1.0
    filter_radius: float = 3
    resample_sr: int = 0
    rms_mix_rate: float = 1.0
    protect: float = 0.33
    format: str = "wav"
    voice: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Preprocess:
    """Step 1: cut the recordings of a folder."""

    folder: str
    experiment: str
    sample_rate: str = "40k"
    workers: int = 0
    speaker_id: int = 0
    wait: bool = True  # False: answer at once with the job's name, for job_status and job_stop


@dataclass(frozen=True)
class Extract:
    """Step 2: pitch and content features."""

    gpus: str
    workers: int
    f0_method: str
    use_f0: bool
    experiment: str
    version: str = "v2"
    rmvpe_gpus: str = ""
    wait: bool = True  # False: answer at once with the job's name, for job_status and job_stop


@dataclass(frozen=True)
class Train:
    """Step 3: train the voice."""

    experiment: str
    sample_rate: str = "40k"
    use_f0: bool = True
    speaker_id: int = 0
    save_every_epoch: int = 5
    total_epoch: int = 20
    batch_size: int = 4
    latest_only: bool = False
    pretrain_g: str = ""
    pretrain_d: str = ""
    gpus: str = ""
    cache_in_gpu: bool = False
    save_every_weights: bool = False
    version: str = "v2"
    config: str = ""
    wait: bool = True  # False: answer at once with the job's name, for job_status and job_stop


@dataclass(frozen=True)
class TrainIndex:
    """Build the feature index of an experiment."""

    experiment: str
    version: str = "auto"
    wait: bool = True  # False: answer at once with the job's name, for job_status and job_stop


@dataclass(frozen=True)
class TrainAll:
    """One-click training: recordings to voice and index."""

    experiment: str
    sample_rate: str
    use_f0: bool
    folder: str
    speaker_id: int = 0
    workers: int = 0
    f0_method: str = "auto"
    save_every_epoch: int = 5
    total_epoch: int = 20
    batch_size: int = 4
    latest_only: bool = False
    pretrain_g: str = "auto"
    pretrain_d: str = "auto"
    gpus: str = ""
    cache_in_gpu: bool = False
    save_every_weights: bool = False
    version: str = "v2"
    rmvpe_gpus: str = ""
    config: str = ""
    wait: bool = True  # False: answer at once with the job's name, for job_status and job_stop


@dataclass(frozen=True)
class JobName:
    """A job, by the name that starting it returned."""

    job: str


@dataclass(frozen=True)
class Merge:
    """Mix two voices; `weight` is the share of the first. Rate, pitch and version must agree with theirs."""

    first: str
    second: str
    weight: float = 0.5
    sample_rate: str = "auto"
    use_f0: str = "auto"
    info: str = ""
    name: str = "merged"
    version: str = "auto"


@dataclass(frozen=True)
class Modify:
    """Change the information text of a voice."""

    voice: str
    info: str
    name: str = ""


@dataclass(frozen=True)
class Show:
    """What a weight file is."""

    file: str


@dataclass(frozen=True)
class ExtractVoice:
    """Take the voice out of a training checkpoint (G_*.pth)."""

    checkpoint: str
    name: str
    sample_rate: str = "auto"
    use_f0: str = "auto"
    info: str = ""
    version: str = "auto"
