"""What the voices of one process share: encoders, pitch models, indexes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from infer.lib import content, speaker_index
from infer.lib.content import ContentEncoder
from infer.lib.errors import MissingFile
from infer.lib.f0 import estimator as make_estimator
from infer.lib.retrieval import FeatureIndex
from infer.vc.voice import Voice, dtype_of

INDEXES_KEPT, VOICES_KEPT = 4, 2


class ModelShelf:
    """Loads each model once. Safe to use from several threads; a changed file is loaded anew."""

    def __init__(self, assets: Path, device: str = "cpu", precision: str = "fp32", encoder: str = "auto"):
        """`encoder`: auto (what each voice was made with), hubert, starter, or a path."""
        self.assets, self.device, self.precision = Path(assets), device, precision
        self._which_encoder = encoder
        self._lock = threading.RLock()
        self._models: dict[Hashable, Any] = {}
        self._indexes: OrderedDict[Hashable, FeatureIndex | None] = OrderedDict()
        self._voices: OrderedDict[Hashable, Voice] = OrderedDict()
        self._cpu: ModelShelf | None = None

    def encoder_for(self, voice: Voice) -> ContentEncoder:
        """The content encoder `voice` was made with. Raises BadInput if another was asked for."""
        which = self._which_encoder
        encoder = self.encoder(content.which_for(voice.encoder) if which == "auto" else which)
        encoder.dim(voice.spec.version)
        content.same_encoder(voice.encoder, encoder, f"the voice {voice.path.name}")
        return encoder

    def encoder(self, which: str = "auto") -> ContentEncoder:
        """`which`: auto, hubert, starter or a path."""
        dtype = dtype_of(self.device, self.precision)
        return self._once(
            ("encoder", which), lambda: content.load_encoder(which, self.assets, self.device, dtype)
        )

    def estimator(self, method: str):
        """The pitch method of that name (see infer.lib.f0.METHODS)."""
        return self._once(("f0", method), lambda: make_estimator(method, self.device, self.assets))

    def index(self, path: Path, speaker_id: int = 0) -> FeatureIndex | None:
        """The index of that file, kept in memory while it is among the last few used.

        A file with rows for each speaker gives those of `speaker_id`, or None if it has none.
        """
        path = Path(path)
        if path.suffix == speaker_index.SUFFIX:
            key = (*_file_key(path), speaker_id)
            load = lambda: speaker_index.load_speaker(path, speaker_id)  # noqa: E731
            return self._recent(self._indexes, INDEXES_KEPT, key, load)
        return self._recent(self._indexes, INDEXES_KEPT, _file_key(path), lambda: FeatureIndex.load(path))

    def voice(self, path: Path) -> Voice:
        """The voice of that file, kept in memory while it is among the last few used."""
        load = lambda: Voice.load(path, self.device, self.precision)  # noqa: E731
        return self._recent(self._voices, VOICES_KEPT, _file_key(path), load)

    def on_cpu(self) -> "ModelShelf":
        """A shelf of the same assets whose models compute on the CPU."""
        with self._lock:
            if self._cpu is None:
                self._cpu = self
                if self.device != "cpu":
                    self._cpu = ModelShelf(self.assets, "cpu", "fp32", self._which_encoder)
            return self._cpu

    def clear(self) -> None:
        """Forgets everything, so that its memory can be used by others."""
        with self._lock:
            self._models.clear()
            self._indexes.clear()
            self._voices.clear()
            self._cpu = None

    def _once(self, key: Hashable, load: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._models:
                self._models[key] = load()
            return self._models[key]

    def _recent(self, kept: OrderedDict, limit: int, key: Hashable, load: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in kept:
                kept[key] = load()
            kept.move_to_end(key)
            while len(kept) > limit:
                kept.popitem(last=False)
            return kept[key]


def _file_key(path: Path) -> tuple:
    """Changes whenever the file does."""
    path = Path(path).resolve()
    try:
        stat = path.stat()
    except OSError as error:
        raise MissingFile(f"{path} cannot be read", error.strerror or str(error)) from error
    return str(path), stat.st_mtime_ns, stat.st_size
