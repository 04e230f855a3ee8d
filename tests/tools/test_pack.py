"""Tiny networks packed as the shipped files are, and the difference that int8 makes."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infer.jobs.command import parse, to_argv
from infer.jobs.events import Log
from infer.jobs.experiment import Experiment
from infer.lib import audio, checkpoint
from infer.lib.checkpoint_layout import NOISE_KEY
from infer.lib.content.starter import StarterNetwork
from infer.lib.errors import BadInput
from infer.lib.speaker_index import load_speaker
from infer.lib.voice_header import read_header
from infer.vc.voice import Voice
from tests.lib.content.test_starter import WEIGHTS
from tests.lib.tiny_voices import tiny_checkpoint, tiny_spec
from tools.starter import compare_int8, pack
from tools.starter.pack import PackOptions, Speaker, read_speakers

ENCODER = "starter-2:0123456789ab"
SPEAKERS = {"speakers": {"0": "Kathleen", "2": {"name": "Thorsten", "median_hz": 118.4}}}


@pytest.fixture
def speakers(tmp_path):
    path = tmp_path / "speakers.json"
    path.write_text(json.dumps(SPEAKERS))
    return path


@pytest.fixture
def generator(tmp_path):
    path = tmp_path / "G_7.pth"
    spec = tiny_spec()
    checkpoint.write_training(path, tiny_checkpoint(spec, spec=dataclasses.asdict(spec), encoder=ENCODER))
    return path


@pytest.fixture
def experiment(tmp_path):
    """Two speakers whose features lie around 1 and around 3."""
    made = Experiment(tmp_path / "logs" / "base")
    rng = np.random.default_rng(0)
    for number in (0, 2):
        for clip in range(2):
            path = made.content_file(f"{number}_{clip}", "v2")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rng.normal(number + 1, 0.1, size=(30, 768)).astype(np.float32))
    made.write_speakers({f"{number}_{clip}": number for number in (0, 2) for clip in range(2)})
    made.update_settings(encoder=ENCODER)
    return made


def test_a_checkpoint_becomes_the_base(generator, speakers, tmp_path, events):
    argv = [f"--generator={generator}", f"--speakers={speakers}", f"--output={tmp_path / 'out'}"]
    assert (
        pack.main([*argv, "--licence=CC0", "--info=two speakers", "--noise-scale=0.25", "--gain-db=-6"]) == 0
    )
    path = tmp_path / "out/base_v2_40k_f0.safetensors"
    header = read_header(path)
    assert header.speaker_names == ("Kathleen", "", "Thorsten")
    assert (header.encoder, header.licence, header.info) == (ENCODER, "CC0", "two speakers")
    assert header.extra["speaker_median_hz"] == [0.0, 0.0, 118.4]
    assert Voice.load(path).noise_scale == 0.25
    assert Voice.load(path).gain == pytest.approx(0.501, abs=1e-3)
    training = checkpoint.read_training(generator)
    extra = {**training.extra, NOISE_KEY: 0.5}
    checkpoint.write_training(generator, dataclasses.replace(training, extra=extra))
    assert pack.main(argv) == 0 and Voice.load(path).noise_scale == 0.5  # as recorded
    stored, _ = checkpoint.read_packed(path, "generator")
    assert stored.keys() == checkpoint.read_training(generator).model.keys()


def test_features_become_rows_of_each_speaker(experiment, speakers, tmp_path, events):
    options = PackOptions(experiment=experiment.root, speakers=speakers, rows=5, output=tmp_path)
    summary = pack.run(options, events)
    (path,) = summary
    for number in (0, 2):
        index = load_speaker(path, number)
        assert index.encoder == ENCODER
        assert index.blend(np.zeros((1, 768), np.float32), 1.0).mean() == pytest.approx(number + 1, abs=0.1)
    assert "Kathleen: 5 rows of 2 clips" in [event.message for event in events.of(Log)]


def test_an_encoder_is_packed_under_a_new_name(tmp_path, events):
    plain = tmp_path / "plain.safetensors"
    torch.manual_seed(0)
    save_file(StarterNetwork().state_dict(), plain, metadata={"name": "starter-2", "phones": "[]"})
    pack.run(PackOptions(encoder=plain, name="starter-3", output=tmp_path / "out"), events)
    notes = checkpoint.read_metadata(tmp_path / "out/content_encoder.safetensors")
    assert (notes["name"], notes["phones"]) == ("starter-3", "[]")
    assert any("its name is starter-3:" in event.message for event in events.of(Log))
    assert (tmp_path / "out/content_encoder.safetensors").stat().st_size <= 20e6
    clip = tmp_path / "clip.wav"
    audio.save(clip, np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32), 16000)
    told = compare_int8.run(compare_int8.CompareOptions(clips=(clip,), encoder=plain), events)
    assert 0 < told["feature_error"] < 0.1 and told["feature_cosine"] > 0.99


def test_the_sound_of_int8_is_compared_with_fixed_noise(generator, tmp_path, tone, events):
    clip = tmp_path / "clip.wav"
    audio.save(clip, tone(0.6), 16000)
    options = compare_int8.CompareOptions(
        clips=(clip,), generator=generator, features=WEIGHTS, f0_method="pm", speaker_id=1
    )
    told = compare_int8.run(options, events)
    assert told["wave_snr_db"] > 15 and 0 < told["mel_l1_db"] < 3


def test_a_checkpoint_that_does_not_tell_enough(tmp_path, events):
    path = tmp_path / "G_1.pth"
    checkpoint.write_training(path, tiny_checkpoint())  # sizes are told by the shapes, the encoder is not
    with pytest.raises(BadInput, match="does not record its content encoder"):
        pack.run(PackOptions(generator=path, output=tmp_path), events)
    pack.run(PackOptions(generator=path, encoder_name=ENCODER, output=tmp_path), events)
    assert read_header(tmp_path / "base_v2_40k_f0.safetensors").encoder == ENCODER


def test_speakers_beyond_the_table_and_unreadable_lists_are_refused(generator, tmp_path, events):
    names = tmp_path / "names.json"
    names.write_text('{"3": "Nobody"}')
    with pytest.raises(BadInput, match="no speaker 3"):
        pack.run(PackOptions(generator=generator, speakers=names, output=tmp_path), events)
    names.write_text('["Ann"]')
    with pytest.raises(BadInput, match="does not name speakers"):
        read_speakers(names)
    names.write_text('{"1": "Ann"}')
    assert read_speakers(names) == {1: Speaker("Ann")}


@pytest.mark.parametrize("scale", [5.0, -0.1, float("nan")])
def test_a_noise_that_nobody_would_heed_is_refused(scale):
    with pytest.raises(ValueError, match="noise_scale"):
        PackOptions(generator="G.pth", noise_scale=scale)


@pytest.mark.parametrize("gain", [25.0, float("nan")])
def test_a_gain_that_nobody_would_heed_is_refused(gain):
    with pytest.raises(ValueError, match="gain_db"):
        PackOptions(generator="G.pth", gain_db=gain)


def test_options_are_arguments_and_nothing_to_do_is_refused(tmp_path):
    options = PackOptions(generator=tmp_path / "G 1.pth", rows=9)
    assert parse(PackOptions, to_argv(options)) == options
    assert pack.main([]) == 2
    assert pack.main(["--experiment=x"]) == 2
    assert compare_int8.main(["a.wav"]) == 2


def test_one_speakers_rows_can_index_all(experiment, speakers, tmp_path, events):
    options = PackOptions(experiment=experiment.root, speakers=speakers, rows=5, rows_of=2, output=tmp_path)
    (path,) = pack.run(options, events)
    for number in (0, 2):
        blend = load_speaker(path, number).blend(np.zeros((1, 768), np.float32), 1.0)
        assert blend.mean() == pytest.approx(3, abs=0.1)


def test_the_card_of_the_shipped_files_is_whole():
    folder = WEIGHTS.parent
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in card for path in folder.glob("*.safetensors"))
    assert all((folder / name).is_file() for name in re.findall(r"\]\(([^)]+)\)", card))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 60e6
