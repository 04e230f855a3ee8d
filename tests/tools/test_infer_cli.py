import subprocess
import sys
import time

import numpy as np
import pytest

import config
from infer.jobs.command import parse, to_argv
from infer.jobs.events import Failed, Finished, ItemFailed, Log, from_line
from infer.lib import audio as sound
from infer.lib import content, retrieval
from infer.lib.content import load_encoder
from tests.vc.conftest import StubEncoder, voice_path  # noqa: F401 - a fixture
from tests.web.pages import demo_voices, starter_name
from tools.cmd import infer_cli
from tools.cmd.infer_cli import InferOptions

FLAGS = ["--f0method=pm", "--device=cpu"]


@pytest.fixture
def house(tmp_path, monkeypatch, tone, voice_path):  # noqa: F811
    """Folders of an installation with one voice, `tiny`, and a recording `in/-a 노래.wav`."""
    for name, folder in (("WEIGHTS", "weights"), ("LOGS", "logs"), ("ASSETS", "assets")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(config, name, tmp_path / folder)
    monkeypatch.setattr(content, "load_encoder", lambda *rest: StubEncoder())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights/tiny.pth").write_bytes(voice_path().read_bytes())
    (tmp_path / "in").mkdir()
    sound.save(tmp_path / "in/-a 노래.wav", tone(0.5), 16000)
    return tmp_path


@pytest.fixture
def run(capsys):
    """`run(*arguments)`: the exit code and the events."""

    def call(*arguments):
        code = infer_cli.main([*FLAGS, *map(str, arguments)])
        lines = capsys.readouterr().out.splitlines()
        return code, [event for line in lines if (event := from_line(line))]

    return call


def reason(events):
    [failed] = [event for event in events if isinstance(event, Failed)]
    return failed.reason


def test_folder_in_folder_out(house, run):
    code, events = run("in", "out")
    assert code == 0
    assert isinstance(events[-1], Finished)
    assert sound.probe(house / "out/-a 노래.wav").seconds == pytest.approx(0.5, abs=0.03)
    notes = " ".join(event.message for event in events if isinstance(event, Log))
    assert "voice tiny.pth: v2, 40k" in notes
    assert "no index file" in notes


def test_flags_of_rvc(house, run):
    arguments = [
        "--f0up_key", "3", "--input_path", "in/-a 노래.wav", "--index_path", "", "--opt_path", "opt/new.flac",
        "--model_name", "tiny.pth", "--index_rate", "0.66", "--is_half", "False", "--filter_radius", "3",
        "--resample_sr", "16000", "--rms_mix_rate", "1", "--protect", "0.33", "--x_pad", "2",
    ]  # fmt: skip
    assert run(*arguments)[0] == 0
    assert sound.probe(house / "opt/new.flac").sample_rate == 16000


def test_options_are_one_thing_whatever_the_flag():
    assert parse(InferOptions, ["a", "b"]) == parse(InferOptions, ["--input_path=a", "--opt_path=b"])
    assert parse(InferOptions, ["a", "--f0up_key=2"]) == parse(InferOptions, ["a", "--f0-up-key", "2"])
    assert parse(InferOptions, ["a", "--is_half=no"]).precision == "fp32"
    options = parse(InferOptions, ["a b", "--protect=0.2"])
    assert parse(InferOptions, to_argv(options)) == options


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [""],
        ["a", "--input_path=b"],
        ["a", "--protect=3"],
        ["a", "--nonsense"],
        ["a", "--x-pad=nan"],
        ["a", "--x-max=-1"],
    ],
)
def test_wrong_arguments_are_code_2(arguments):
    assert infer_cli.main(arguments) == 2


def test_existing_results_are_replaced(house, run):
    (house / "out").mkdir()
    (house / "out/-a 노래.wav").write_text("old")
    assert run("in", "out")[0] == 0
    assert sound.probe(house / "out/-a 노래.wav").sample_rate == 40000


def test_index_is_found_by_the_voice_s_name(house, run):
    path = house / "logs/tiny/added_IVF1_Flat_nprobe_1_tiny_v2.index"
    path.parent.mkdir()
    retrieval.save(retrieval.build(np.ones((20, 768), np.float32)), path)
    code, events = run("in", "out")
    assert code == 0
    assert any(f"index {path.name}" in event.message for event in events if isinstance(event, Log))


def test_index_of_the_wrong_width(house, run):
    retrieval.save(retrieval.build(np.ones((20, 256), np.float32)), house / "added.index")
    code, events = run("in", "out", "--index_path=added.index")
    assert code == 3
    assert "width 256" in reason(events)


@pytest.mark.parametrize(
    ("content_of", "words"),
    [(b"", "weights/bad.pth"), (b"text that is no voice", "weights/bad.pth")],
)
def test_files_that_are_no_voice(house, run, content_of, words):
    (house / "weights/bad.pth").write_bytes(content_of)
    code, events = run("in", "out", "--model_name=bad.pth")
    assert code == 3
    assert words in reason(events)


def test_voice_without_a_tensor(house, run):
    import torch

    voice = torch.load(house / "weights/tiny.pth", weights_only=True)
    del voice["weight"]["dec.conv_post.weight"]
    torch.save(voice, house / "weights/bad.pth")
    code, events = run("in", "out", "--model_name=bad")
    assert code == 3
    assert "dec.conv_post.weight" in reason(events)


def test_training_checkpoint_given_as_voice(house, run):
    import torch

    voice = torch.load(house / "weights/tiny.pth", weights_only=True)
    checkpoint = {"model": voice["weight"], "iteration": 3, "optimizer": {}, "learning_rate": 1e-4}
    torch.save(checkpoint, house / "weights/G_100.pth")
    code, events = run("in", "out", "--model_name=G_100.pth")
    assert code == 3
    assert "extract" in reason(events)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.wav", "out"], "no file or folder gone.wav"),
        (["in", "in/-a 노래.wav"], "is a file"),
        (["logs", "out"], "holds no recordings"),
        (["in", "out", "--model_name=bob"], "choose one of tiny.pth"),
        (["in", "out", "--index_path=no.index"], "no index no.index"),
        (["in", "out", "--sid=9"], "no speaker 9"),
        (["in", "out", "--f0method=rmvpe"], "download"),
        (["in", "out", "--x_pad=1", "--x_query=9", "--x_center=3", "--x_max=4"], "x_query"),
    ],
)
def test_one_sentence_and_code_3(house, run, arguments, words):
    code, events = run(*arguments)
    assert code == 3
    assert words in reason(events)
    assert "\n" not in reason(events)


def test_some_failed_is_code_3_with_a_list(house, run):
    (house / "in/text.wav").write_text("not a sound")
    code, events = run("in", "out")
    assert code == 3
    assert [event.item for event in events if isinstance(event, ItemFailed)] == ["text.wav"]
    assert "1 of 2 recordings were not converted: text.wav" in reason(events)
    assert (house / "out/-a 노래.wav").is_file()


def test_with_the_starter_encoder(house, run, voice_path, monkeypatch):  # noqa: F811
    assets = config.ROOT / "assets"
    if not (assets / "starter/content_encoder.safetensors").is_file():
        pytest.skip("the starter encoder is not installed")
    monkeypatch.setattr(content, "load_encoder", load_encoder)
    voice = voice_path(encoder=load_encoder("starter", assets).name)
    code, events = run("in", "out", f"--model_name={voice}", f"--assets={assets}")
    assert code == 0
    code, events = run("in", "out", "--model_name=tiny", "--encoder=starter", f"--assets={assets}")  # of RVC
    assert code == 3
    assert "content encoder" in reason(events)


def test_help_is_quick_and_light():
    start = time.perf_counter()
    command = [sys.executable, "-X", "importtime", "-m", "tools.cmd.infer_cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=config.ROOT, check=True)
    assert "--index-rate" in done.stdout
    assert not [line for line in done.stderr.splitlines() if "| torch" in line or "librosa" in line]
    assert time.perf_counter() - start < 10  # under 1 s on a quiet machine; this one may be busy


def test_without_further_arguments_the_demo_voices_speak(house, run, monkeypatch):
    demo_voices(house / "assets")
    monkeypatch.setattr(content, "load_encoder", lambda *rest: StubEncoder(starter_name()))
    code, events = run("in/-a 노래.wav", "out.wav")
    assert code == 0 and sound.probe(house / "out.wav").sample_rate == 40000
    notes = " ".join(event.message for event in events if isinstance(event, Log))
    assert "voice starter: v2, 40k" in notes and "speakers, for --speaker: Ann, Bo" in notes
    assert "index demo_index.safetensors" in notes
    assert (
        run("in", "ann", "--speaker=ann")[0]
        == run("in", "bo", "--model_name=starter", "--speaker=Bo")[0]
        == 0
    )
    said = {name: (house / name / "-a 노래.wav").read_bytes() for name in ("ann", "bo")}
    assert said["ann"] == (house / "out.wav").read_bytes() != said["bo"]
    code, events = run("in", "out", "--speaker=Eve")
    assert code == 3 and "its speakers are Ann, Bo" in reason(events)
