"""The page's conversions: one at a time, stoppable, with memory that comes back and errors that say why."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from infer.lib.errors import BadInput, NoDevice, RvcError
from infer.vc.options import ConvertOptions
from infer.vc.voice import Voice
from infer.web import engine as engine_module
from infer.web.engine import Engine
from infer.web.engine_result import Stopped
from infer.web.result_names import result_name
from tests.web.pages import SPEECH, make_home, starter_name, tiny_voice

FAST = ConvertOptions(f0_method="pm", index_rate=0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("engine"))
    tiny_voice(home.weights / "anna.pth", seed=1)
    tiny_voice(home.weights / "bob.pth", seed=2)
    tiny_voice(home.weights / "mute.pth", seed=3, use_f0=False)
    return home


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A second of speech."""
    path = tmp_path_factory.mktemp("clip") / "노래 a 1.wav"
    audio, rate = soundfile.read(SPEECH)
    soundfile.write(path, audio[rate : 2 * rate], rate)
    return path


@pytest.fixture
def engine(home, tmp_path):
    return Engine(home, tmp_path / "results")


def test_result_tells_how_it_came_about(engine, home, clip):
    told = []
    options = replace(FAST, f0_up_key=12.0, format="flac")
    result = engine.convert(
        clip, home.weights / "anna.pth", options, progress=lambda *counts: told.append(counts)
    )
    info = soundfile.info(result.path)
    assert result.path.name == "노래 a 1 - anna.flac"
    assert (info.samplerate, info.format) == (40000, "FLAC")
    assert result.duration_s == pytest.approx(info.duration) == pytest.approx(1.0, abs=0.03)
    assert (result.f0_method, result.device, result.index_used) == ("pm", "cpu", None)
    assert told == [(0, 0), (1, 1)]
    voiced = result.f0 > 0
    assert voiced.any()
    np.testing.assert_allclose(result.f0[voiced] / result.source_f0[voiced], 2.0)


def test_a_voice_without_pitch_has_no_curves(engine, home, clip):
    result = engine.convert(clip, home.weights / "mute.pth", FAST)
    assert result.f0 is None
    assert result.source_f0 is None
    assert result.f0_method is None


def test_a_target_is_written_as_named(engine, home, clip, tmp_path):
    result = engine.convert(
        clip, home.weights / "anna.pth", replace(FAST, save_f0=True), target=tmp_path / "x" / "out.wav"
    )
    assert result.path == tmp_path / "x" / "out.wav"
    assert (tmp_path / "x" / "out.f0.csv").read_text().startswith("0.00,")


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "m4a", "ogg"])
def test_every_format_is_written(engine, home, clip, format):
    from infer.lib import audio

    result = engine.convert(clip, home.weights / "anna.pth", replace(FAST, format=format))
    assert result.path.suffix == f".{format}"
    assert audio.probe(result.path).seconds == pytest.approx(1.0, abs=0.15)


def test_the_index_is_found_by_itself_and_used(engine, home, clip):
    index = _index(home, "anna")
    result = engine.convert(clip, home.weights / "anna.pth", replace(FAST, index_rate=1))
    assert result.index_used == index
    assert not result.warnings
    without = engine.convert(clip, home.weights / "anna.pth", replace(FAST, index_rate=1), index=None)
    assert without.index_used is None
    assert [warning.kind for warning in without.warnings] == ["no_index"]
    assert soundfile.read(result.path)[0].tolist() != soundfile.read(without.path)[0].tolist()


def test_without_a_fitting_index_the_reason_is_told(engine, home, clip):
    result = engine.convert(clip, home.weights / "bob.pth", replace(FAST, index_rate=0.5))
    assert result.index_used is None
    assert "'bob'" in result.index_reason


def test_a_named_index_that_is_gone_is_an_error(engine, home, clip, tmp_path):
    with pytest.raises(RvcError, match=r"no index .*gone\.index"):
        engine.convert(
            clip, home.weights / "anna.pth", replace(FAST, index_rate=0.5), index=tmp_path / "gone.index"
        )


def test_reasons_reach_the_caller(engine, home, tmp_path):
    with pytest.raises(BadInput, match="empty"):
        empty = tmp_path / "empty.wav"
        empty.touch()
        engine.convert(empty, home.weights / "anna.pth", FAST)
    assert not engine.busy


def test_voices_of_two_threads_are_not_mixed_up(engine, home, clip):
    alone = {name: _samples(engine, home, clip, name) for name in ("anna", "bob")}
    found, threads = {}, []
    for number in range(6):
        name = ("anna", "bob")[number % 2]
        work = lambda n=number, name=name: found.update({n: (name, _samples(engine, home, clip, name))})  # noqa: E731
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for name, samples in found.values():
        np.testing.assert_array_equal(samples, alone[name])


def test_a_stop_between_pieces(engine, home, clip):
    engine.choose_plan(x_pad=0.1, x_query=0.05, x_center=0.2, x_max=0.25)
    seen = []
    with pytest.raises(Stopped):
        engine.convert(
            clip,
            home.weights / "anna.pth",
            FAST,
            progress=lambda done, total: seen.append((done, total)),
            cancelled=lambda: len(seen) > 2,
        )
    assert seen[1][0] == 1
    assert len(seen) < seen[-1][1]
    assert not engine.busy
    engine.choose_plan()
    engine.convert(clip, home.weights / "anna.pth", FAST)


def test_a_stop_within_a_piece(engine, home, clip):
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 20

    with pytest.raises(Stopped):
        engine.convert(clip, home.weights / "anna.pth", FAST, cancelled=cancelled)
    assert len(asked) == 21
    engine.convert(clip, home.weights / "anna.pth", FAST)
    assert len(asked) == 21  # nobody asks the old run any more


def test_a_stop_while_the_content_is_found(engine, home, clip, monkeypatch):
    asked = []
    monkeypatch.setattr(Voice, "synthesize", lambda *given: pytest.fail("too late"))

    def cancelled():
        asked.append(True)
        return len(asked) > 5  # two before the encoder

    with pytest.raises(Stopped):
        engine.convert(clip, home.weights / "anna.pth", FAST, cancelled=cancelled)


def test_who_waits_for_its_turn_can_be_stopped(engine, home, clip):
    stop, failures = threading.Event(), []

    def wait():
        try:
            engine.convert(clip, home.weights / "anna.pth", FAST, cancelled=stop.is_set)
        except Stopped as error:
            failures.append(error)

    with engine._turn(lambda: False):
        waiting = threading.Thread(target=wait)
        waiting.start()
        stop.set()
        waiting.join(30)
    assert len(failures) == 1


def test_choosing_a_device_needs_no_restart(engine, home, clip):
    engine.convert(clip, home.weights / "anna.pth", FAST)
    assert engine.choose_device("cpu") == "cpu"
    assert not engine.loaded
    engine.convert(clip, home.weights / "anna.pth", FAST)
    with pytest.raises(NoDevice):
        engine.choose_device("cuda:99")
    assert engine.device == "cpu"
    assert engine.loaded  # a refused choice changes nothing


def test_plan_overrides_are_used_and_checked(engine, home, clip):
    plan = engine.choose_plan(x_center=0.3, x_query=0.1, x_max=0.4)
    assert (plan.x_center, plan.x_max) == (0.3, 0.4)
    assert engine.plan_overrides == {"x_center": 0.3, "x_query": 0.1, "x_max": 0.4}
    assert engine.convert(clip, home.weights / "anna.pth", FAST).n_pieces > 1
    with pytest.raises(BadInput, match="cannot work"):
        engine.choose_plan(x_query=50, x_center=10)
    assert engine.plan_overrides["x_center"] == 0.3
    engine.choose_plan()
    assert engine.convert(clip, home.weights / "anna.pth", FAST).n_pieces == 1


def test_unload_forgets_every_model(engine, home, clip):
    import gc
    import weakref

    engine.convert(clip, home.weights / "anna.pth", FAST)
    shelf = engine._loaded.shelf
    alive = weakref.ref(shelf.voice(home.weights / "anna.pth").net)
    del shelf
    engine.unload()
    gc.collect()
    assert not engine.loaded
    assert alive() is None


def test_running_out_of_memory_ends_on_the_cpu(engine, home, clip, monkeypatch):
    """A GPU that has no room for the models: the shelf of the CPU converts, and the page is told."""
    real = engine._settings

    def on_a_gpu(device, plan):
        return replace(real("cpu", plan), device="cuda:0")

    monkeypatch.setattr(engine, "_settings", on_a_gpu)
    from infer.vc.shelf import ModelShelf

    def full(self, path):
        if self.device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, path)

    original = ModelShelf.voice
    monkeypatch.setattr(ModelShelf, "voice", full)
    result = engine.convert(clip, home.weights / "anna.pth", FAST)
    assert result.path.is_file()
    assert [warning.kind for warning in result.warnings] == ["on_cpu"]


def test_other_errors_of_torch_are_not_taken_for_full_memory(engine, home, clip, monkeypatch):
    monkeypatch.setattr(
        engine_module, "_run", lambda *arguments: (_ for _ in ()).throw(RuntimeError("shapes differ"))
    )
    with pytest.raises(RuntimeError, match="shapes differ"):
        engine.convert(clip, home.weights / "anna.pth", FAST)
    assert not engine.busy


def test_cudnn_does_not_search_for_algorithms(engine, home, clip):
    """Its search takes whatever memory is free, which a training on the same GPU needs."""
    engine.convert(clip, home.weights / "anna.pth", FAST)
    assert torch.backends.cudnn.benchmark is False


def test_memory_stays_flat(engine, home, clip):
    for _ in range(5):
        engine.convert(clip, home.weights / "anna.pth", FAST)
    before = _resident_mb()
    for _ in range(25):
        engine.convert(clip, home.weights / "anna.pth", FAST)
    assert _resident_mb() - before < 20


def test_warming_up_is_done_once_and_beside(engine, monkeypatch):
    calls = []
    monkeypatch.setattr(engine_module, "_import_all", lambda: calls.append(threading.current_thread()))
    engine.warm()
    engine.warm()
    engine._warming.join(10)
    assert len(calls) == 1
    assert calls[0] is not threading.current_thread()


def test_prepare_refuses_before_any_file_is_touched(engine, home):
    with pytest.raises(BadInput, match="no speaker 7"):
        engine.prepare(home.weights / "anna.pth", replace(FAST, speaker_id=7))


@pytest.mark.parametrize(
    ("recording", "voice", "name"),
    [
        ("a/b:c", "v?", "a_b_c - v_.wav"),
        ("가" * 60, "v", "가" * 33 + " - v.wav"),
        ("..", " ", "audio - audio.wav"),
    ],
)
def test_result_names_fit_every_file_system(recording, voice, name):
    assert result_name(recording, voice, "wav") == name


def _samples(engine, home, clip, name):
    result = engine.convert(clip, home.weights / f"{name}.pth", FAST)
    assert result.voice.stem == name
    return soundfile.read(result.path, dtype="int16")[0]


def _index(home, name):
    from infer.lib import retrieval

    rows = np.random.default_rng(0).normal(size=(80, 768)).astype(np.float32)
    path = home.logs / name / retrieval.index_file_names(1, name, "v2").added
    retrieval.save(retrieval.build(rows), path)
    retrieval.write_sidecar(path, {"encoder": starter_name()})
    return path


def _resident_mb() -> float:
    import ctypes
    import gc
    import sys

    if not sys.platform.startswith("linux"):
        return 0.0
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)

    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_a_conversion_waits_for_the_imports_that_are_under_way(engine, home, clip, monkeypatch):
    """Two threads that import torch at once can see its modules half made."""
    gate, finished = threading.Event(), threading.Event()
    monkeypatch.setattr(engine_module, "_import_all", lambda: (gate.wait(30), finished.set()))
    engine.warm()
    threading.Timer(0.5, gate.set).start()
    engine.convert(clip, home.weights / "anna.pth", FAST)
    assert finished.is_set()
