"""The named endpoints through the client that users have."""

import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file

from infer.web import api
from infer.web.page import Page
from tests.web.pages import SPEECH, make_home, served, tiny_voice

PM = {"f0_method": "pm", "index_rate": 0.0}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("home") / "나의 폴더")
    for number in range(4):
        tiny_voice(home.weights / f"voice {number}.pth", seed=number, info=f"voice number {number}")
    return home


@pytest.fixture(scope="module")
def url(home):
    with gr.Blocks(analytics_enabled=False) as blocks:
        api.add(Page.of(home))
    with served(blocks) as url:
        yield url


@pytest.fixture
def client(url):
    return Client(url, verbose=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Path]:
    """Short recordings of different lengths, so that answers can be told apart."""
    folder = tmp_path_factory.mktemp("clips")
    audio, rate = soundfile.read(SPEECH)
    paths = []
    for number in range(5):
        path = folder / f"clip {number}.wav"
        soundfile.write(path, audio[: int(rate * (0.4 + 0.1 * number))], rate)
        paths.append(path)
    return paths


def samples(path: str) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def convert(client, clip: Path, voice: str, **settings):
    return client.predict(
        speaker_id=0, source=handle_file(clip), voice=voice, api_name="/infer_convert", **PM | settings
    )


def test_a_call_is_complete_in_itself(client, clips):
    said, path = convert(client, clips[0], "voice 1.pth")
    assert "0.3" in said and "pitch: pm" in said
    assert abs(len(samples(path)) / 40000 - 0.4) < 0.03
    assert np.abs(samples(path)).max() > 100


def test_rvcs_way_positions_and_a_voice_chosen_before(client, clips):
    chosen = client.predict("voice 2.pth", 0.33, 0.33, api_name="/infer_change_voice")
    assert chosen[0] == 2  # the highest speaker number
    by_position = client.predict(
        0, handle_file(clips[1]), 0, None, "pm", "", "", 0.0, 3, 0, 0.25, 0.33, api_name="/infer_convert"
    )
    by_name = convert(client, clips[1], "voice 2.pth")
    assert np.array_equal(samples(by_position[1]), samples(by_name[1]))


def test_the_choice_of_one_client_is_not_anothers(url, clips):
    first, second = Client(url, verbose=False), Client(url, verbose=False)
    first.predict("voice 0.pth", api_name="/infer_change_voice")
    second.predict("voice 3.pth", api_name="/infer_change_voice")
    mine = convert(first, clips[2], "")
    assert np.array_equal(samples(mine[1]), samples(convert(second, clips[2], "voice 0.pth")[1]))
    assert not np.array_equal(samples(mine[1]), samples(convert(second, clips[2], "")[1]))


def test_settings_reach_the_conversion(client, clips):
    plain = samples(convert(client, clips[3], "voice 1.pth")[1])
    higher = samples(convert(client, clips[3], "voice 1.pth", f0_up_key=12)[1])
    assert len(plain) == len(higher) and not np.array_equal(plain, higher)
    _, path = convert(client, clips[3], "voice 1.pth", resample_sr=16000, format="flac")
    info = soundfile.info(path)
    assert (info.samplerate, info.format) == (16000, "FLAC")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"voice": "nobody.pth"}, "nobody.pth"),
        ({"voice": "../../etc/passwd"}, "not the name of a voice"),
        ({"voice": ""}, "send voice="),
        ({"voice": "voice 1.pth", "protect": 7.0}, "protect is 7"),
        ({"voice": "voice 1.pth", "speaker_id": 9}, "no speaker 9"),
        ({"voice": "voice 1.pth", "index_path": "/no/such.index", "index_rate": 0.5}, "/no/such.index"),
    ],
)
def test_a_refusal_says_why(url, clips, settings, reason):
    call = {"speaker_id": 0, "source": handle_file(clips[0]), **PM, **settings}
    with pytest.raises(Exception, match=reason):
        Client(url, verbose=False).predict(api_name="/infer_convert", **call)


def test_a_file_that_is_no_sound_is_refused(client, tmp_path):
    text = tmp_path / "a text.wav"
    text.write_text("this is no sound")
    with pytest.raises(Exception, match="a text.wav"):
        convert(client, text, "voice 1.pth")


def test_a_batch_goes_on_after_a_bad_file(client, clips, home, tmp_path):
    bad = tmp_path / "broken.wav"
    bad.write_bytes(b"RIFF")
    said, files = client.predict(
        speaker_id=0,
        files=[handle_file(clips[0]), handle_file(bad), handle_file(clips[1])],
        voice="voice 1.pth",
        output_folder="my songs",
        api_name="/infer_convert_batch",
        **PM,
    )
    assert len(files) == 2 and "broken.wav" in said
    assert sorted(path.name for path in (home.output / "my songs").iterdir()) == ["clip 0.wav", "clip 1.wav"]


def test_a_batch_of_a_folder(client, clips, home):
    said, files = client.predict(
        speaker_id=0, folder=str(clips[0].parent), voice="voice 1.pth", api_name="/infer_convert_batch", **PM
    )
    assert len(files) == len(clips) == len(said.splitlines())
    assert (home.output / "clip 4.wav").is_file()


def test_refresh_lists_voices_and_indexes(client, home):
    voices, indexes = client.predict(api_name="/infer_refresh")
    assert voices == [f"voice {number}.pth" for number in range(4)]
    assert indexes == []
    tiny_voice(home.weights / "late.pth", seed=9)
    try:
        assert "late.pth" in client.predict(api_name="/infer_refresh")[0]
    finally:
        (home.weights / "late.pth").unlink()


def test_twenty_clients_at_once_are_all_answered_and_not_mixed_up(url, clips):
    asked = [(clips[number % 5], f"voice {number % 4}.pth") for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda pair: convert(Client(url, verbose=False), *pair)[1], asked))
    alone = Client(url, verbose=False)
    for (clip, voice), path in zip(asked, answers, strict=True):
        assert np.array_equal(samples(path), samples(convert(alone, clip, voice)[1])), (clip.name, voice)


@pytest.mark.skipif(sys.platform == "win32", reason="reads the peak memory as POSIX tells it")
def test_memory_stays_flat_over_many_calls(client, clips):
    for _ in range(10):
        convert(client, clips[4], "voice 1.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(40):
        convert(client, clips[number % 5], f"voice {number % 4}.pth")
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 60


def test_voice_files_can_be_worked_on(client, home):
    assert "voice number 2" in client.predict("voice 2.pth", api_name="/ckpt_show")
    client.predict("voice 0.pth", "voice 1.pth", 0.5, name="a mix", api_name="/ckpt_merge")
    said = client.predict("a mix.pth", "half and half", api_name="/ckpt_modify")
    assert "done" in said
    assert "half and half" in client.predict("a mix.pth", api_name="/ckpt_show")
    (home.weights / "a mix.pth").unlink()


def test_a_failing_command_tells_its_reason(client):
    with pytest.raises(Exception, match="no/such.pth"):
        client.predict("/no/such.pth", api_name="/ckpt_show")
