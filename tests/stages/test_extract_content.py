"""Content extraction: files, what is done again and what is not, refusals."""

import json

import numpy as np
import pytest
import soundfile
import torch

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Finished, ItemFailed
from infer.jobs.experiment import Experiment
from infer.lib.content import ContentEncoder
from infer.lib.errors import BadInput
from infer.stages.extract_content import run as stage
from infer.stages.extract_content.__main__ import main
from infer.stages.extract_content.options import ExtractContentOptions


class Ramp(ContentEncoder):
    """Quick and countable: frame t of a clip is t + its first sample."""

    family = "hubert"

    def __init__(self, name="hubert:aaaaaaaaaaaa"):
        self.name, self.calls = name, 0
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def _content(self, audio, version):
        self.calls += 1
        frames = torch.arange((len(audio) - 80) // 320, dtype=torch.float32) + audio[0]
        return frames[:, None].expand(-1, self.dim(version)) / (1 if audio[0] < 0.8 else 0)


@pytest.fixture
def experiment(tmp_path):
    """Three clips of an experiment made by our own preprocessing."""
    experiment = Experiment(tmp_path / "내 목소리 'x'")
    experiment.update_settings(sample_rate=40000)
    for n in range(3):
        _write_clip(experiment, f"0_{n}", 0.1 * n)
    return experiment


@pytest.fixture
def encoder(monkeypatch):
    fake = Ramp()
    monkeypatch.setattr(stage, "load_encoder", lambda *_: fake)
    return fake


def test_features_and_silence_are_written(experiment, encoder, events):
    summary = stage.run(ExtractContentOptions(experiment.root, device="cpu"), events)
    content = np.load(experiment.content_file("0_2", "v2"))
    assert content.shape == (49, 768) and content.dtype == np.float32 and content[3, 0] == pytest.approx(3.2)
    assert (summary["extracted"], summary["failed"]) == (3, 0) and events.of(Finished)
    assert experiment.read_settings().encoder == encoder.name
    for rate in (32000, 40000, 48000):
        item = experiment.mute_item(rate, "v2", use_f0=True)
        silence, found_rate = soundfile.read(item.wav, dtype="int16")
        assert found_rate == rate and len(silence) == 3 * rate and not silence.any()
        assert np.load(item.content).shape == (149, 768)
        coarse, hz = np.load(item.f0_coarse), np.load(item.f0_hz)
        assert (coarse.dtype, coarse.shape, set(coarse)) == (np.int32, (301,), {1})
        assert (hz.dtype, hz.shape, hz.any()) == (np.float64, (301,), False)


def test_only_changed_and_missing_clips_are_done_again(experiment, encoder, events):
    options = ExtractContentOptions(experiment.root, device="cpu")
    stage.run(options, events)
    encoder.calls = 0
    assert stage.run(options, events)["kept"] == 3 and encoder.calls == 0
    _write_clip(experiment, "0_1", 0.5)
    experiment.content_file("0_2", "v2").unlink()
    experiment.wav_16k("0_0").unlink()
    stage.run(options, events)
    assert encoder.calls == 2
    assert np.load(experiment.content_file("0_1", "v2"))[0, 0] == pytest.approx(0.5, abs=1e-3)
    assert not experiment.content_file("0_0", "v2").exists()  # its clip is gone


def test_a_stop_leaves_no_features_of_the_encoder_before(experiment, encoder, events, monkeypatch):
    options = ExtractContentOptions(experiment.root, device="cpu")
    stage.run(options, events)
    other = Ramp("hubert:bbbbbbbbbbbb")
    monkeypatch.setattr(stage, "load_encoder", lambda *_: other)
    monkeypatch.setattr(stage, "_extract", _stopped)
    with pytest.raises(KeyboardInterrupt):
        stage.run(options, events)
    assert not list(experiment.content("v2").glob("*.npy"))
    monkeypatch.undo()
    monkeypatch.setattr(stage, "load_encoder", lambda *_: other)
    assert stage.run(options, events)["extracted"] == 3


@pytest.mark.parametrize("change", ["encoder", "version"])
def test_a_trained_experiment_keeps_encoder_and_version(experiment, encoder, events, monkeypatch, change):
    stage.run(ExtractContentOptions(experiment.root, device="cpu"), events)
    for path in (experiment.generator_checkpoint(7), experiment.discriminator_checkpoint(7)):
        path.write_bytes(b"")
    if change == "encoder":
        monkeypatch.setattr(stage, "load_encoder", lambda *_: Ramp("hubert:bbbbbbbbbbbb"))
    version = "v1" if change == "version" else "v2"
    with pytest.raises(BadInput, match=f"was trained with the {change}"):
        stage.run(ExtractContentOptions(experiment.root, version, device="cpu"), events)
    assert len(list(experiment.content("v2").glob("*.npy"))) == 3  # nothing lost


def test_bad_clips_are_left_out_and_named(experiment, encoder, events):
    _write_clip(experiment, "0_7", 0.0, n_samples=300)
    _write_clip(experiment, "0_8", 0.9)  # gives content that is not finite
    experiment.wav_16k("0_9").write_text("not audio")
    summary = stage.run(ExtractContentOptions(experiment.root, device="cpu"), events)
    assert [event.item for event in events.of(ItemFailed)] == ["0_7", "0_8", "0_9"]
    assert summary["failed"] == 3 and len(list(experiment.content("v2").iterdir())) == 3


def test_nothing_usable_is_an_error(tmp_path, experiment, encoder, events):
    with pytest.raises(BadInput, match="run preprocess first"):
        stage.run(ExtractContentOptions(tmp_path / "empty", device="cpu"), events)
    for n in range(3):
        _write_clip(experiment, f"0_{n}", 0.0, n_samples=100)
    with pytest.raises(BadInput, match="none of the 3 clips"):
        stage.run(ExtractContentOptions(experiment.root, device="cpu"), events)


def test_shards_share_the_work(experiment, encoder, events):
    for shard in ("0/2", "1/2"):
        stage.run(ExtractContentOptions(experiment.root, device="cpu", shard=shard), events)
    assert encoder.calls == 4  # three clips, and silence once
    assert len(list(experiment.content("v2").glob("*.npy"))) == 3


def test_features_of_rvc_are_taken_as_they_are(experiment, encoder, events):
    experiment.settings_file.unlink()
    foreign = experiment.content_file("0_1", "v2")
    foreign.parent.mkdir()
    np.save(foreign, np.ones((49, 768), np.float32))
    options = ExtractContentOptions(experiment.root, device="cpu")
    assert stage.run(options, events)["kept"] == 1
    assert stage.run(options, events)["kept"] == 3
    assert (np.load(foreign) == 1).all()


def test_command_with_the_shipped_encoder(experiment, capsys):
    assert main([f"--experiment={experiment.root}", "--encoder=starter", "--device=cpu"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    assert lines[-1]["event"] == "finished" and lines[-1]["summary"]["encoder"].startswith("starter-")
    assert np.load(experiment.content_file("0_0", "v2")).shape == (49, 768)
    assert main([f"--experiment={experiment.root}", "--encoder=starter", "--device=cpu", "--version=v1"]) == 3
    assert "v2 content only" in capsys.readouterr().out


def test_options_survive_the_command_line():
    options = ExtractContentOptions("-이상한 '이름'", "v1", "/a b/hubert.pt", "cuda:1", "bf16", "1/3")
    again = parse(ExtractContentOptions, to_argv(options))
    assert again.shard == "1/3" and to_argv(again) == to_argv(options)
    for shard in ("2/2", "x", "1"):
        with pytest.raises(ValueError, match="shard"):
            ExtractContentOptions("x", shard=shard)


def _stopped(*_):
    raise KeyboardInterrupt


def _write_clip(experiment, stem, level, n_samples=16000):
    path = experiment.wav_16k(stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(n_samples, level, np.float32), 16000, subtype="FLOAT")
