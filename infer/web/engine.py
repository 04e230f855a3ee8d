"""Conversion for the page: one at a time, models kept between calls, torch only when it is needed."""

import contextlib
import ctypes
import gc
import logging
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infer.lib.devices import ChunkPlan
from infer.lib.index_choice import find_index_for
from infer.lib.starter_files import voice_name
from infer.vc.notes import Note
from infer.vc.options import ConvertOptions
from infer.web import pitch_advice
from infer.web.engine_result import Result, Stopped, result_of, write
from infer.web.errors_i18n import refusal
from infer.web.home import Home
from infer.web.result_names import result_name
from infer.web.stopping import Watch, stoppable

if TYPE_CHECKING:
    import numpy as np

    from infer.vc.pipeline import Conversion
    from infer.vc.shelf import ModelShelf

AUTO = "auto"
PLAN_FIELDS = ("x_pad", "x_query", "x_center", "x_max")
POLL_S = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """What conversions compute with; replaced as a whole when device or plan change."""

    settings: Any  # config.Settings
    shelf: "ModelShelf"

    @property
    def plan(self) -> ChunkPlan:
        return ChunkPlan(*(getattr(self.settings, name) for name in PLAN_FIELDS))


class Engine:
    """Safe to call from any thread. Nothing heavy is imported before the first call that needs it."""

    def __init__(self, home: Home, results: Path | None = None):
        """`results`: where files without a target go; by default the folder Gradio serves and cleans."""
        self._home, self._results = home, results
        self._turn_lock = threading.Lock()
        self._chosen, self._plan = home.device, {}
        self._loaded: _Loaded | None = None
        self._warming: threading.Thread | None = None

    # what it computes with ------------------------------------------------------------------

    @property
    def device(self) -> str:
        """The device in use, or what was asked for while nothing is loaded."""
        return self._loaded.settings.device if self._loaded else self._chosen

    @property
    def chosen(self) -> str:
        """What was asked for: "auto" stays so when a device was found for it."""
        return self._chosen

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    @property
    def busy(self) -> bool:
        return self._turn_lock.locked()

    @property
    def plan_overrides(self) -> dict[str, float]:
        """The seconds that were set here instead of the automatic ones."""
        return dict(self._plan)

    def choose_device(self, text: str) -> str:
        """Uses another device from now on ("auto", "cpu", "cuda:1"); returns its name. Raises NoDevice."""
        settings = self._settings(text or AUTO, self._plan)
        self._replace(text or AUTO, self._plan)
        return settings.device

    def choose_plan(self, **seconds: float | None) -> ChunkPlan:
        """Sets x_pad, x_query, x_center, x_max; None is automatic. Raises BadInput for what cannot work."""
        wanted = {name: seconds[name] for name in PLAN_FIELDS if seconds.get(name)}
        settings = self._settings(self._chosen, wanted)
        self._replace(self._chosen, wanted)
        return ChunkPlan(*(getattr(settings, name) for name in PLAN_FIELDS))

    def warm(self) -> None:
        """Begins to import what conversions need, in the background; called at the first sign of need."""
        if self._warming is None:
            self._warming = threading.Thread(target=_import_all, name="warm", daemon=True)
            self._warming.start()

    def unload(self) -> None:
        """Gives the memory of all models back, after a running conversion."""
        with self._turn_lock:
            self._drop()

    # the work -------------------------------------------------------------------------------

    def convert(
        self,
        source: "Path | str | np.ndarray",
        voice: Path,
        options: ConvertOptions | None = None,
        *,
        index: Path | str | None = AUTO,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        target: Path | None = None,
    ) -> Result:
        """Converts a file (or mono audio [N] at 16 kHz) and writes the result.

        `index`: a file, None for no index, "auto" for the one that fits the voice. `progress(done, total)`
        counts pieces, (0, 0) says that the models are loaded; `cancelled()` is asked between pieces.
        Raises Stopped or another RvcError.
        """
        options, cancelled = options or ConvertOptions(), cancelled or (lambda: False)
        path, reason = self.index_choice(voice, index, options)
        hook = Watch(progress or (lambda done, total: None), cancelled)
        with self._turn(cancelled):
            conversion = self._convert(source, Path(voice), options, (path, hook))
            loaded_device = self.device
        target = target or self._fresh_target(source, voice, options.format)
        write(target, conversion, options)
        return result_of(conversion, options, target, (source, Path(voice), reason, loaded_device))

    def index_choice(
        self, voice: Path, index: Path | str | None, options: ConvertOptions
    ) -> tuple[Path | None, str]:
        """The index file of a conversion and the reason. Raises RvcError for one that is not there."""
        if options.index_rate == 0 or index is None:
            return None, ""
        if index == AUTO:
            choice = find_index_for(voice, self._home.index_folders)
            return choice.path, choice.reason
        if not Path(index).is_file():
            raise refusal("convert.error.index_gone", path=index)
        return Path(index), ""

    def suggest_key(
        self, source: Path, header: Any = None, voice: Path | None = None, speaker_id: int = 0
    ) -> pitch_advice.Suggestion:
        """How many semitones bring the recording to the voice: see pitch_advice.Suggestion."""
        known = pitch_advice.voice_pitch(header, voice, self._home.logs, speaker_id)
        return pitch_advice.suggest(pitch_advice.recording_pitch(source), known)

    def prepare(self, voice: Path, options: ConvertOptions, index: Path | str | None = AUTO) -> None:
        """Loads all models of a conversion. Raises an RvcError if one is missing or does not fit."""
        path, _ = self.index_choice(voice, index, options)
        with self._turn(lambda: False):
            loaded = self._ready()
            from infer.vc.pipeline import gather

            gather(loaded.shelf.voice(voice), loaded.shelf, options, path)

    def excerpt(self, source: Path, seconds: float) -> "np.ndarray":
        """The beginning of a recording for a try: [N] float32 at 16 kHz. Raises BadInput."""
        return pitch_advice.beginning(source, seconds)

    def _convert(
        self, source: Any, voice: Path, options: ConvertOptions, extras: tuple[Path | None, Watch]
    ) -> "Conversion":
        index, watch = extras
        loaded = self._ready()
        watch.check()
        try:
            return _run(loaded, loaded.shelf, (source, voice), options, (index, watch))
        except (RuntimeError, MemoryError) as error:
            if loaded.settings.device == "cpu" or not _is_out_of_memory(error):
                raise
        # Not even the models fit: the traceback above held on to their memory until here.
        log.warning("%s has no memory for the models; converting on the CPU", loaded.settings.device)
        loaded.shelf.clear()
        _give_back()
        conversion = _run(loaded, loaded.shelf.on_cpu(), (source, voice), options, (index, watch))
        sentence = "{device} ran out of memory even with short pieces; converted on the CPU"
        conversion.warnings.append(Note("on_cpu", sentence, device=loaded.settings.device))
        return conversion

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            # One thread imports torch and waits for no other: half-made modules are nobody's to see.
            self.warm()
            self._warming.join()
            from infer.vc.shelf import ModelShelf

            settings = self._settings(self._chosen, self._plan)
            shelf = ModelShelf(self._home.assets, settings.device, settings.precision)
            self._loaded = _Loaded(settings, shelf)
        return self._loaded

    def _settings(self, device: str, plan: dict[str, float]) -> Any:
        chosen = {} if device == AUTO else {"device": device}
        return self._home.settings(**chosen, **plan)

    def _replace(self, device: str, plan: dict[str, float]) -> None:
        with self._turn_lock:
            self._chosen, self._plan = device, dict(plan)
            self._drop()

    def _drop(self) -> None:
        if self._loaded is not None:
            self._loaded.shelf.clear()
            self._loaded = None
        _give_back()

    @contextmanager
    def _turn(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        """One conversion at a time; whoever waits can be stopped."""
        while not self._turn_lock.acquire(timeout=POLL_S):
            if cancelled():
                raise Stopped
        try:
            yield
        finally:
            self._turn_lock.release()

    def _fresh_target(self, source: Any, voice: Path, format: str) -> Path:
        folder = self._results or served_folder()
        stem = Path(source).stem if isinstance(source, str | Path) else "preview"
        return folder / secrets.token_hex(16) / result_name(stem, voice_name(voice), format)


def _run(
    loaded: _Loaded,
    shelf: "ModelShelf",
    what: tuple[Any, Path],
    options: ConvertOptions,
    extras: tuple[Path | None, Watch],
) -> "Conversion":
    from infer.vc.pipeline import Hooks, convert, gather

    source, path = what
    index, watch = extras
    voice = shelf.voice(path)
    kit = gather(voice, shelf, options, index)
    watch.begin()
    with stoppable(voice.net, watch.check), stoppable(kit.encoder.network, watch.check):
        return convert(source, voice, shelf, options, loaded.plan, index=index, hooks=Hooks(progress=watch))


def served_folder() -> Path:
    """Where Gradio serves files from, and cleans up."""
    from gradio.utils import get_upload_folder

    return Path(get_upload_folder())


def _import_all() -> None:
    with contextlib.suppress(ImportError):  # the conversion itself says what is missing
        import infer.lib.retrieval
        import infer.vc.pipeline  # noqa: F401


def _is_out_of_memory(error: Exception) -> bool:
    """Also for CUDA's own complaint while its context is made, which torch does not class as such."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _give_back() -> None:
    """Freed memory goes back to the GPU and to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
