"""The same recordings at another sample rate: what is taken over, what is not, and that it trains."""

import numpy as np
import pytest
import soundfile

from infer.jobs.events import Log
from infer.jobs.experiment import Experiment
from infer.lib import audio
from infer.lib.errors import BadInput, MissingFile
from infer.stages.extract_content import run as content_stage
from infer.stages.extract_content.options import ExtractContentOptions
from infer.stages.extract_f0.options import ExtractF0Options
from infer.stages.extract_f0.run import run as extract_f0
from infer.stages.preprocess import recut
from infer.stages.preprocess.options import PreprocessOptions
from infer.stages.preprocess.run import run as preprocess
from infer.stages.train import state
from infer.stages.train.run import run as train
from tests.stages.test_extract_content import Ramp
from tests.stages.train.tiny import TinyDiscriminator, make_options

OLD_RATE, NEW_RATE = 32000, 40000


def phrases(seed: int, rate: int = 44100) -> np.ndarray:
    """Tones with pauses between them: something to cut at silence."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(3):
        t = np.arange(int(rng.uniform(1.2, 2.6) * rate)) / rate
        wave = sum(np.sin(2 * np.pi * (150 + 20 * seed) * k * t) / k for k in range(1, 9))
        parts += [0.2 * wave * np.minimum(1, 20 * (t[-1] - t)), np.zeros(int(rng.uniform(0.4, 0.9) * rate))]
    sound = np.concatenate(parts)
    return (sound + 1e-4 * rng.standard_normal(len(sound))).astype(np.float32)


@pytest.fixture
def trainset(tmp_path):
    folder = tmp_path / "녹음"
    for number, name in enumerate(("0 anna/a.wav", "0 anna/b.wav", "1/c.flac")):
        audio.save(folder / name, phrases(number), 44100)
    return folder


@pytest.fixture
def encoder(monkeypatch):
    fake = Ramp()
    monkeypatch.setattr(content_stage, "load_encoder", lambda *_: fake)
    return fake


@pytest.fixture
def old(tmp_path, trainset, encoder, events) -> Experiment:
    """An experiment at 32 kHz that is ready to train."""
    made = Experiment(tmp_path / "logs" / "old")
    preprocess(PreprocessOptions(trainset, made.root, OLD_RATE, 1), events)
    features(made, events)
    made.update_settings(use_f0=True)
    encoder.calls = 0
    return made


@pytest.fixture
def new(tmp_path) -> Experiment:
    return Experiment(tmp_path / "logs" / "new")


def features(experiment: Experiment, events) -> tuple[dict, dict]:
    return (
        extract_f0(ExtractF0Options(experiment.root, method="pm", device="cpu"), events),
        content_stage.run(ExtractContentOptions(experiment.root, device="cpu"), events),
    )


def clone(trainset, old: Experiment, new: Experiment, events, **changes) -> dict:
    options = PreprocessOptions(trainset, new.root, NEW_RATE, 1, like=str(old.root), **changes)
    return preprocess(options, events)


def bytes_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_but_the_target_rate_is_byte_equal(trainset, old, new, events, encoder):
    clone(trainset, old, new, events)
    assert new.stems() == old.stems()
    assert len(new.stems()) > 5
    for kind in ("wavs_16k", "f0_coarse", "f0_hz"):
        assert bytes_of(getattr(new, kind)) == bytes_of(getattr(old, kind))
    assert bytes_of(new.content("v2")) == bytes_of(old.content("v2"))
    assert new.speakers() == old.speakers()
    before, after = old.read_settings(), new.read_settings()
    assert (after.sample_rate, after.speaker_names) == (NEW_RATE, ["anna"])
    assert (after.encoder, after.version, after.f0_method) == (before.encoder, before.version, "pm")
    assert any("cut as in experiment old (32k)" in event.message for event in events.of(Log))


def test_clips_hold_the_same_sound_at_the_new_rate(trainset, old, new, events):
    clone(trainset, old, new, events)
    for stem in new.stems():
        theirs, old_rate = soundfile.read(old.gt_wav(stem), dtype="float32")
        ours, new_rate = soundfile.read(new.gt_wav(stem), dtype="float32")
        assert (old_rate, new_rate) == (OLD_RATE, NEW_RATE)
        assert abs(len(ours) - len(theirs) * NEW_RATE / OLD_RATE) <= 1
        expected = audio.resample(theirs, OLD_RATE, NEW_RATE)
        length = min(len(ours), len(expected))
        assert np.corrcoef(ours[:length], expected[:length])[0, 1] > 0.999


def test_later_stages_find_nothing_to_do(trainset, old, new, events, encoder):
    clone(trainset, old, new, events)
    pitch, content = features(new, events)
    assert (pitch["extracted"], pitch["kept"]) == (0, len(old.stems()))
    assert (content["extracted"], content["kept"], encoder.calls) == (0, len(old.stems()), 0)
    marks = {path: path.stat().st_mtime_ns for path in new.gt_wavs.iterdir()}
    preprocess(PreprocessOptions(trainset, new.root, NEW_RATE, 1), events)
    assert {path: path.stat().st_mtime_ns for path in new.gt_wavs.iterdir()} == marks


def test_the_clone_trains(trainset, old, new, events, monkeypatch):
    clone(trainset, old, new, events)
    features(new, events)
    monkeypatch.setattr(state, "MultiPeriodDiscriminator", TinyDiscriminator)
    summary = train(make_options(new, total_epoch=1), events)
    assert (summary["epoch"], summary["complete"]) == (1, True)
    assert len(new.filelist.read_text(encoding="utf-8").splitlines()) > 5


def test_added_and_changed_recordings_are_sliced_anew(trainset, old, new, events, encoder):
    audio.save(trainset / "0 anna" / "b.wav", phrases(7), 44100)
    audio.save(trainset / "0 anna" / "added.wav", phrases(8), 44100)
    clone(trainset, old, new, events)
    features(new, events)
    assert new.stems() == new.stems_16k() == [item.stem for item in new.training_items("v2", True)]
    kept = set(bytes_of(old.content("v2")).values())
    assert 0 < encoder.calls < len(new.stems())
    assert (
        sum(clip in kept for clip in bytes_of(new.content("v2")).values()) >= len(new.stems()) - encoder.calls
    )


def test_a_stopped_clone_is_completed(trainset, old, new, events):
    clone(trainset, old, new, events)
    whole = bytes_of(new.gt_wavs)
    new.gt_wav("0_0").unlink()
    new.f0_hz_file("0_1").unlink()
    clone(trainset, old, new, events)
    assert bytes_of(new.gt_wavs) == whole
    assert bytes_of(new.f0_hz) == bytes_of(old.f0_hz)


def test_cuts_that_are_not_found_again(trainset, old, new, events, encoder, monkeypatch):
    monkeypatch.setattr(recut, "drop_reason", lambda *_: "too short")
    clone(trainset, old, new, events)
    assert len(new.stems()) > 5
    assert bytes_of(new.wavs_16k).keys() >= {"0_0.wav"}
    features(new, events)
    assert encoder.calls > 0
    assert len(new.training_items("v2", True)) == len(new.stems())


def test_refusals(trainset, old, new, events, tmp_path):
    with pytest.raises(BadInput, match="cut with another --slice-s"):
        clone(trainset, old, new, events, slice_s=3.0)
    audio.save(tmp_path / "other" / "x.wav", phrases(9), 44100)
    with pytest.raises(BadInput, match="made from other recordings"):
        clone(tmp_path / "other", old, new, events)
    with pytest.raises(BadInput, match="like itself"):
        preprocess(PreprocessOptions(trainset, old.root, OLD_RATE, 1, like=str(old.root)), events)
    with pytest.raises(MissingFile, match="not known how the clips"):
        clone(trainset, Experiment(tmp_path / "foreign"), new, events)
    assert not new.stems()
