"""Sound in and out: same numbers as librosa, any format, and one sentence for what is no recording."""

import errno
import io
import logging
import sys
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile

from infer.lib import audio
from infer.lib.errors import BadInput, MissingFile

RATE = 44100


def tone(seconds: float = 1.0, rate: int = RATE, hz: float = 220.0) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hz * time) * (0.6 + 0.4 * np.sin(7 * time))).astype(np.float32)


def write_video(path: Path, with_sound: bool) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 32
        sound = container.add_stream("aac", rate=RATE, layout="stereo") if with_sound else None
        for _ in range(10):
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(image))
        container.mux(picture.encode(None))
        if sound:
            both = np.stack([tone(), np.zeros(RATE, np.float32)])
            frame = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))


# decoding and resampling ----------------------------------------------------------------------------


@pytest.mark.parametrize("to_rate", [16000, 40000, 44100, 48000])
def test_load_is_librosas_resampling_of_the_mean_of_the_channels(tmp_path, to_rate):
    stereo = np.stack([tone(1.7), tone(1.7, hz=330) * 0.5], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    expected = librosa.resample(stereo.mean(axis=1), orig_sr=RATE, target_sr=to_rate)
    loaded = audio.load(tmp_path / "a.wav", to_rate)
    assert loaded.dtype == np.float32
    assert loaded.shape == expected.shape
    assert np.abs(loaded - expected).max() < 1e-6


@pytest.mark.parametrize("block_s", [0.01, 0.3])
def test_stream_joins_to_load_in_bounded_blocks(tmp_path, block_s):
    audio.save(tmp_path / "a.wav", tone(2.0), RATE)
    blocks = list(audio.stream(tmp_path / "a.wav", 40000, block_s))
    assert len(blocks) > 4
    assert max(map(len, blocks)) < 40000 * (block_s + 0.1)
    assert np.array_equal(np.concatenate(blocks), audio.load(tmp_path / "a.wav", 40000))


@pytest.mark.parametrize(
    ("samples", "rates"), [(1, (44100, 16000)), (5, (8000, 48000)), (100001, (48000, 40000))]
)
def test_resampled_length_is_librosas(samples, rates):
    signal = np.ones(samples, np.float32)
    expected = librosa.resample(signal, orig_sr=rates[0], target_sr=rates[1])
    assert np.array_equal(audio.resample(signal, *rates), expected)
    assert len(audio.resample(np.zeros(0), *rates)) == 0


def test_eight_channels_at_192_khz(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile(tone(0.5, 192000)[:, None], 8), 192000, subtype="PCM_24")
    assert audio.probe(tmp_path / "a.wav") == audio.AudioInfo(0.5, 192000, 8)
    assert np.abs(audio.load(tmp_path / "a.wav", 48000) - tone(0.5, 48000))[100:-100].max() < 2e-3


def test_sound_of_a_video(tmp_path):
    write_video(tmp_path / "film.mp4", with_sound=True)
    info = audio.probe(tmp_path / "film.mp4")
    assert (info.sample_rate, info.channels) == (RATE, 2)
    assert info.seconds == pytest.approx(1.0, abs=0.1)
    loaded = audio.load(tmp_path / "film.mp4", RATE)
    assert len(loaded) == pytest.approx(RATE, abs=2100)
    assert np.corrcoef(loaded[2000:40000], tone()[2000:40000])[0, 1] > 0.99
    assert np.abs(loaded).max() == pytest.approx(0.2, abs=0.03)  # half of it: the other channel is silent


@pytest.mark.parametrize(
    "name", ["a b.wav", 'it\'s "q".flac', "노래.wav", "🎤.m4a", "-12.wav", "--help.flac", "a:b;$x%d.m4a"]
)
def test_names_of_every_kind(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    audio.save(name, tone(0.3), RATE)
    assert len(audio.load(name, RATE)) >= 13000
    assert [path.name for path in audio.find_audio(".")] == [name]


def test_find_audio_in_natural_order_without_hidden_files(tmp_path):
    for name in ("take 10.wav", "take 2.WAV", "0/a.mp3", "notes.txt", "._take 2.wav", ".cache/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in audio.find_audio(tmp_path)]
    assert found == ["0/a.mp3", "take 2.WAV", "take 10.wav"]
    assert [path.name for path in audio.find_audio(tmp_path, recursive=False)] == [
        "take 2.WAV",
        "take 10.wav",
    ]
    with pytest.raises(BadInput, match="does not exist"):
        audio.find_audio(tmp_path / "none")
    with pytest.raises(BadInput, match="is a file"):
        audio.find_audio(tmp_path / "notes.txt")


# what is no recording -------------------------------------------------------------------------------


def _bad_files() -> dict[str, bytes]:
    broken_m4a = io.BytesIO()
    nan = io.BytesIO()
    soundfile.write(nan, np.array([0.1, np.nan] * 2000), RATE, format="WAV", subtype="FLOAT")
    soundfile.write(broken_m4a, np.zeros(0), RATE, format="WAV")
    return {
        "zero.wav": b"",
        "text.wav": b"this is only text\n" * 300,
        "list.mp3": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.mp3\n",
        "random.flac": np.random.default_rng(0).bytes(30000),
        "headless.raw": np.random.default_rng(1).bytes(3000),
        "nan.wav": nan.getvalue(),
        "none.wav": broken_m4a.getvalue(),
    }


@pytest.mark.parametrize("name", sorted(_bad_files()))
def test_no_recording_gives_one_sentence_with_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(_bad_files()[name])
    with pytest.raises(BadInput) as caught:
        audio.load(tmp_path / name, 16000)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_reason_is_the_true_one(tmp_path):
    for name, reason in (
        ("zero.wav", "0 bytes"),
        ("nan.wav", "non-numbers"),
        ("none.wav", "no audio samples"),
    ):
        (tmp_path / name).write_bytes(_bad_files()[name])
        with pytest.raises(BadInput, match=reason):
            audio.load(tmp_path / name, 16000)
    write_video(tmp_path / "mute.mp4", with_sound=False)
    with pytest.raises(BadInput, match="no audio track"):
        audio.load(tmp_path / "mute.mp4", 16000)
    with pytest.raises(BadInput, match="is a folder"):
        audio.load(tmp_path, 16000)
    with pytest.raises(MissingFile, match="does not exist"):
        audio.load(tmp_path / "gone.wav", 16000)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_truncated_recording_is_used_as_far_as_it_goes(tmp_path, caplog, kind):
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(0).standard_normal(8 * RATE).astype(np.float32) * 0.1
    audio.save(path, noise, RATE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING):
        loaded = audio.load(path, RATE)
    assert 3 * RATE < len(loaded) < 5 * RATE
    if kind != "ogg":  # a shorter ogg stream is a valid one
        assert "is cut off after" in caplog.text


def test_truncated_m4a_without_its_index_is_refused(tmp_path):
    path = audio.save(tmp_path / "a.m4a", tone(3), RATE)
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(BadInput, match=r"a\.m4a cannot be read"):
        audio.load(path, RATE)


def test_without_pyav_only_its_formats_are_missing(tmp_path, monkeypatch):
    m4a, wav = audio.save(tmp_path / "a.m4a", tone(), RATE), audio.save(tmp_path / "a.wav", tone(), RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(audio.load(wav, RATE)) == RATE
    with pytest.raises(MissingFile, match="pip install av"):
        audio.load(m4a, RATE)
    with pytest.raises(MissingFile, match="pip install av"):
        audio.save(tmp_path / "b.mp3", tone(), RATE)


# saving ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", audio.FORMATS)
@pytest.mark.parametrize("rate", [16000, 40000])
def test_saved_sound_comes_back_whole(tmp_path, kind, rate):
    signal = tone(2.3, rate)
    path = audio.save(tmp_path / f"a.{kind}", audio.to_int16(signal), rate)
    loaded = audio.load(path, rate)
    assert 0 <= len(loaded) - len(signal) < 0.1 * rate  # codecs may pad, but lose no end
    assert np.corrcoef(loaded[: len(signal)], signal)[0, 1] > 0.99
    assert np.abs(loaded[len(signal) - rate // 10 : len(signal)] - signal[-rate // 10 :]).max() < 0.1
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"]


def test_wav_keeps_the_numbers(tmp_path):
    whole = np.array([-32768, -1, 0, 1, 32767], np.int16)
    audio.save(tmp_path / "i.wav", whole, RATE)
    assert np.array_equal(soundfile.read(tmp_path / "i.wav", dtype="int16")[0], whole)
    audio.save(tmp_path / "f.wav", tone(), RATE)
    assert np.array_equal(soundfile.read(tmp_path / "f.wav", dtype="float32")[0], tone())
    assert soundfile.info(tmp_path / "f.wav").subtype == "FLOAT"
    assert (tmp_path / "f.wav").read_bytes() == audio.save(tmp_path / "g.wav", tone(), RATE).read_bytes()


def test_unknown_format_is_refused(tmp_path):
    with pytest.raises(BadInput, match="wav, flac, mp3, m4a, ogg"):
        audio.save(tmp_path / "a.xyz", tone(), RATE)


def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = audio.save(tmp_path / "a.wav", tone(), RATE)
    before = path.read_bytes()

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        audio.save(path, tone(2), RATE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_the_folder_is_an_oserror(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OSError):
        audio.save(tmp_path / "out" / "a.wav", tone(), RATE)


def test_an_opus_file_that_libsndfile_gives_up_on_goes_on_at_its_own_rate(tmp_path, monkeypatch):
    """ffmpeg plays the rest, at 48 kHz whatever the file was made from."""
    path = tmp_path / "made at 16 kHz.opus"
    soundfile.write(path, tone(4.0, 16000), 16000, format="OGG", subtype="OPUS")
    whole = audio.load(path, 16000)
    read, calls = soundfile.SoundFile.read, []

    def failing(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise soundfile.LibsndfileError(2)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", failing)
    mended = np.concatenate(list(audio.stream(path, 16000, block_s=1.0)))
    assert len(calls) == 2 and len(mended) == len(whole)
    assert np.corrcoef(whole, mended)[0, 1] > 0.999
