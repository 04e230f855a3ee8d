from dataclasses import replace

import numpy as np
import pytest
import torch

from infer.lib import retrieval
from infer.lib.devices import ChunkPlan
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile, NoDevice
from infer.vc import noise, pipeline
from infer.vc.options import ConvertOptions
from infer.vc.pipeline import Hooks, convert
from infer.vc.voice import Voice
from tests.vc.conftest import StubEncoder, StubEstimator, StubShelf

PLAN = ChunkPlan(1, 1, 2, 3)
QUIET = Hooks(noise=noise.none)
NO_INDEX = ConvertOptions(index_rate=0)


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "added tiny.index"
    retrieval.save(retrieval.build(np.random.default_rng(0).normal(size=(40, 768)).astype(np.float32)), path)
    return path


def expected_length(n_samples: int, hop: int = 400) -> int:
    padded = n_samples + 32000
    return (min(padded // 160, 2 * ((padded - 80) // 320)) - 200) * hop


def rms(audio) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


@pytest.mark.parametrize("n_samples", [800, 4000, 16000, 16079, 16160, 47840])
def test_unsplit_length_is_that_of_rvc(voice, shelf, tone, n_samples):
    result = convert(tone(3)[:n_samples], voice, shelf, NO_INDEX, PLAN)
    assert result.audio.dtype == np.int16
    assert len(result.audio) == expected_length(n_samples)
    assert 0 <= n_samples / 16000 - result.duration_s < 0.025  # 20 ms and the rest of a frame
    assert result.n_pieces == 1


def test_split_pieces_join_to_the_whole(voice, shelf, tone):
    done = []
    hooks = Hooks(noise=noise.none, progress=lambda *count: done.append(count))
    audio = tone(4.5)
    parts = convert(audio, voice, shelf, NO_INDEX, PLAN, hooks=hooks)
    whole = convert(audio, voice, shelf, NO_INDEX, hooks=QUIET)
    assert parts.n_pieces == 3
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert abs(len(parts.audio) - len(whole.audio)) <= 3 * 400


def test_reports_seconds_pitch_and_the_missing_index(voice, shelf, tone):
    result = convert(tone(1), voice, shelf, ConvertOptions(f0_up_key=12, f0_method="pm"), PLAN)
    assert set(result.seconds) == {"load", "f0", "features", "index", "synthesis"}
    assert len(result.f0) == 100
    assert set(result.f0.hz.tolist()) == {0.0, 400.0}
    assert result.f0_method == "pm"
    assert result.index_used is None
    assert "index" in result.warnings[0]


@pytest.mark.parametrize(
    ("asked", "recorded", "unvoiced"), [(None, False, True), (None, True, False), (False, True, True)]
)
def test_unvoiced_frames_are_filled_as_the_voice_records(shelf, voice, tone, asked, recorded, unvoiced):
    options = replace(NO_INDEX, fill_unvoiced=asked)
    result = convert(tone(1), replace(voice, fill_unvoiced=recorded), shelf, options, PLAN)
    assert (result.f0.hz == 0).any() == unvoiced


def test_curve_file_replaces_the_pitch(voice, shelf, tone, tmp_path):
    file = tmp_path / "melody.csv"
    file.write_text("0,300\n0.4,300\n")
    result = convert(tone(1), voice, shelf, replace(NO_INDEX, f0_file=file, f0_up_key=12), PLAN)
    assert result.f0.hz[:41].tolist() == [300] * 41
    assert 400 in result.f0.hz[41:]


def test_same_seed_same_sound(voice, shelf, tone):
    def sound(seed):
        return convert(tone(1), voice, shelf, replace(NO_INDEX, seed=seed), PLAN).audio.tobytes()

    assert sound(0) == sound(0)
    assert len({sound(0), sound(1), sound(-1), sound(-1)}) == 4


def test_a_voice_without_pitch_asks_for_none(voice_path, tone):
    voice = Voice.load(voice_path(use_f0=False))
    shelf = StubShelf(estimator=False)
    result = convert(tone(1), voice, shelf, NO_INDEX, PLAN)
    assert result.f0 is None
    assert len(result.audio) == expected_length(16000)


def test_resampling_and_loudness(voice, shelf, tone):
    loud = convert(
        tone(1), voice, shelf, replace(NO_INDEX, rms_mix_rate=0.0, resample_sr=48000), PLAN, hooks=QUIET
    )
    soft = convert(0.1 * tone(1), voice, shelf, replace(NO_INDEX, rms_mix_rate=0.0), PLAN, hooks=QUIET)
    assert (loud.sample_rate, soft.sample_rate) == (48000, 40000)
    assert len(loud.audio) == expected_length(16000) * 48000 // 40000
    # at rate 0 the loudness is the source's
    assert rms(soft.audio / 32768) == pytest.approx(0.1 * rms(tone(1)), rel=0.1)
    assert rms(loud.audio / 32768) > 3 * rms(soft.audio / 32768)


def test_index_is_used_and_shared(voice, shelf, tone, index_file):
    plain = convert(tone(1), voice, shelf, NO_INDEX, PLAN, hooks=QUIET)
    drawn = convert(tone(1), voice, shelf, ConvertOptions(index_rate=1), PLAN, index=index_file, hooks=QUIET)
    assert drawn.index_used == index_file
    assert drawn.warnings == []
    assert not np.array_equal(plain.audio, drawn.audio)
    assert shelf.index(index_file) is shelf.index(index_file)


def test_index_of_the_wrong_width(voice_path, shelf, tone, index_file):
    voice = Voice.load(voice_path(version="v1"))
    with pytest.raises(BadInput, match=r"width 768.*v1 voice and needs 256"):
        convert(tone(1), voice, shelf, ConvertOptions(), PLAN, index=index_file)


def test_index_of_another_encoder(voice, tone, index_file):
    retrieval.write_sidecar(index_file, {"encoder": "starter-1:ffffffffffff"})
    try:
        with pytest.raises(BadInput, match="added tiny.index was made with"):
            convert(tone(1), voice, StubShelf(), ConvertOptions(), PLAN, index=index_file)
    finally:
        retrieval.sidecar_path(index_file).unlink()


def test_voice_of_another_encoder(voice, shelf, tone):
    with pytest.raises(BadInput, match="tiny voice.pth was made with"):
        convert(tone(1), replace(voice, encoder="starter-1:ffffffffffff"), shelf, NO_INDEX, PLAN)


def test_missing_index(voice, shelf, tone, tmp_path):
    with pytest.raises(MissingFile, match="gone.index"):
        convert(tone(1), voice, shelf, ConvertOptions(), PLAN, index=tmp_path / "gone.index")


def test_unknown_speaker(voice, shelf, tone):
    with pytest.raises(BadInput, match=r"no speaker 3.*0\.\.2"):
        convert(tone(1), voice, shelf, ConvertOptions(speaker_id=3), PLAN)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(0, np.float32), "too short"),
        (np.zeros(799, np.float32), "too short"),
        (np.full(16000, np.nan, np.float32), "not numbers"),
        (np.full(16000, np.inf, np.float32), "not numbers"),
        (np.zeros((2, 16000), np.float32), "mono"),
    ],
)
def test_unusable_audio(voice, shelf, audio, reason):
    with pytest.raises(BadInput, match=reason):
        convert(audio, voice, shelf, NO_INDEX, PLAN)


@pytest.mark.parametrize("audio", [np.zeros(8000, np.float32), np.full(8000, 1e30, np.float32)])
def test_silent_and_huge_audio_give_finite_sound(voice, audio):
    result = convert(audio, voice, StubShelf(estimator=StubEstimator(hz=0.0)), NO_INDEX, PLAN)
    assert len(result.audio) == expected_length(8000)


def test_loud_input_is_brought_to_the_peak(tone):
    assert np.abs(pipeline.prepared(10 * tone(1))).max() == pytest.approx(0.95)
    assert np.array_equal(pipeline.prepared(tone(1)), tone(1))


def test_long_recordings_are_filtered_in_blocks(monkeypatch, tone):
    audio = tone(20) + 0.3
    whole = pipeline.high_passed(audio)
    monkeypatch.setattr(pipeline, "FILTER_BLOCK", 7 * 16000)
    blocks = pipeline.high_passed(audio)
    assert blocks.dtype == np.float32
    assert np.abs(blocks - whole).max() < 1e-6


def failing(voice, monkeypatch, error, fits=lambda frames: False):
    """`voice.synthesize` raises `error` for pieces that do not fit."""
    synthesize = Voice.synthesize

    def patched(self, features, pitch, speaker, draws=None, noise_scale=None):
        if self is voice and not fits(len(features)):
            raise error
        return synthesize(self, features, pitch, speaker, draws, noise_scale)

    monkeypatch.setattr(Voice, "synthesize", patched)


def test_out_of_memory_takes_smaller_pieces_and_says_so(voice, shelf, tone, monkeypatch):
    failing(
        voice, monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), fits=lambda frames: frames < 800
    )
    result = convert(tone(9), voice, shelf, NO_INDEX, ChunkPlan(1, 2, 19, 22))
    assert result.n_pieces == 2
    assert result.plan.x_center == 5
    assert "ran out of memory" in result.warnings[-1]
    assert abs(len(result.audio) - expected_length(9 * 16000)) <= 2 * 400


def test_out_of_memory_on_a_gpu_ends_on_the_cpu(voice, shelf, tone, monkeypatch):
    on_gpu = replace(voice, device="cuda:0")
    on_gpu.__dict__["on_cpu"] = voice  # what the property would build
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    failing(on_gpu, monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    result = convert(tone(1), on_gpu, shelf, NO_INDEX, PLAN)
    assert "converted on the CPU" in result.warnings[-1]
    assert len(result.audio) == expected_length(16000)


def test_out_of_memory_on_the_cpu_is_one_sentence(voice, shelf, tone, monkeypatch):
    failing(voice, monkeypatch, MemoryError())
    with pytest.raises(NoDevice, match="too little free memory"):
        convert(tone(1), voice, shelf, NO_INDEX, PLAN)


def test_out_of_memory_in_the_pitch_method_moves_it_to_the_cpu(voice, tone):
    class Greedy(StubEstimator):
        def __call__(self, audio, frames=None):
            raise torch.OutOfMemoryError("CUDA out of memory")

    shelf = StubShelf(estimator=Greedy())
    shelf.device, shelf._cpu = "cuda:0", StubShelf()
    result = convert(tone(1), voice, shelf, NO_INDEX, PLAN)
    assert "pitch was found on the CPU" in result.warnings[0]


def test_overflow_in_half_precision_is_repeated_in_fp32(voice, shelf, tone, monkeypatch):
    half = replace(voice, dtype=torch.float16)
    half.__dict__["in_fp32"] = voice
    synthesize = Voice.synthesize

    def overflowing(self, features, *rest):
        return synthesize(voice, features, *rest) * (np.nan if self is half else 1)

    monkeypatch.setattr(Voice, "synthesize", overflowing)
    result = convert(tone(1), half, shelf, NO_INDEX, PLAN)
    assert "half precision" in result.warnings[-1]
    assert np.any(result.audio)


def test_a_voice_of_nonsense_is_named(voice, shelf, tone, monkeypatch):
    monkeypatch.setattr(
        Voice, "synthesize", lambda self, features, *rest: np.full(len(features) * 400, np.nan)
    )
    with pytest.raises(BadCheckpoint, match="tiny voice.pth"):
        convert(tone(1), voice, shelf, NO_INDEX, PLAN)


def test_pieces_see_their_context(voice, tone):
    encoder = StubEncoder()
    convert(tone(4.5), voice, StubShelf(encoder), NO_INDEX, PLAN)
    assert min(encoder.lengths) > 2 * 16000
    assert sum(encoder.lengths) == 72000 + 3 * 32000 + 2 * 160
