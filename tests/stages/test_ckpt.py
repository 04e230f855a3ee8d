"""The actions on voice files, as functions and as commands."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from infer.jobs.command import Command, parse, to_argv
from infer.jobs.events import Finished, ItemFailed, Log
from infer.jobs.experiment import Experiment
from infer.lib.checkpoint import read_voice, write_training, write_voice
from infer.lib.errors import BadCheckpoint, BadInput, MissingFile
from infer.lib.models.spec import standard_config
from infer.stages.ckpt.__main__ import main
from infer.stages.ckpt.options import (
    ACTIONS,
    CompareOptions,
    ExtractOptions,
    MergeOptions,
    SetInfoOptions,
    ShowOptions,
)
from infer.stages.ckpt.run import run
from tests.lib.tiny_voices import tiny_checkpoint, tiny_spec, tiny_voice


@pytest.fixture
def experiment(tmp_path):
    """An experiment folder with a checkpoint as RVC writes it: no record of the network inside."""
    made = Experiment(tmp_path / "my voice")
    write_training(made.generator_checkpoint(70), tiny_checkpoint())
    made.config_file.write_text(standard_config("v2", 40000).to_json(), encoding="utf-8")
    return made


@pytest.fixture
def voices(tmp_path):
    """Paths of two voices of the same kind."""
    paths = [tmp_path / f"목소리 {number}.pth" for number in (1, 2)]
    for number, path in enumerate(paths):
        write_voice(path, tiny_voice(seed=number, info=f"{number}epoch"))
    return paths


def test_extract_by_the_configuration_beside_it(tmp_path, experiment, events):
    experiment.update_settings(encoder="starter-1:0123456789ab", fill_unvoiced=True)
    summary = run(ExtractOptions(experiment.root, weights=tmp_path / "w", author="me"), events)
    voice = read_voice(tmp_path / "w" / "my voice.pth")
    assert summary["voice"] == str(tmp_path / "w" / "my voice.pth")
    assert (voice.spec.version, voice.spec.n_speakers, voice.info) == ("v2", 3, "7epoch")
    assert (voice.encoder, voice.fill_unvoiced, voice.extra) == (
        "starter-1:0123456789ab",
        True,
        {"author": "me"},
    )
    assert list(torch.load(summary["voice"], weights_only=True))[:6] == [
        "weight", "config", "info", "version", "sr", "f0",
    ]  # fmt: skip
    assert events.of(Finished)[0].summary == summary


def test_extract_by_what_our_checkpoint_says(tmp_path, events):
    spec = dataclasses.replace(tiny_spec(), upsample_rates=(8, 10, 5), upsample_kernel_sizes=(16, 20, 11))
    record = json.loads(json.dumps(dataclasses.asdict(spec)))
    write_training(tmp_path / "G_5.pth", tiny_checkpoint(spec, spec=record, encoder="hubert:0123456789ab"))
    run(ExtractOptions(tmp_path / "G_5.pth", weights=tmp_path / "w"), events)
    voice = read_voice(tmp_path / "w" / "G_5.pth")
    assert voice.spec.upsample_rates == (8, 10, 5)
    assert voice.encoder == "hubert:0123456789ab"


def test_extract_by_the_tensors_when_the_configuration_is_stale(tmp_path, experiment, events):
    experiment.config_file.write_text(standard_config("v2", 48000).to_json(), encoding="utf-8")
    run(ExtractOptions(experiment.generator_checkpoint(70), weights=tmp_path / "w", name="x"), events)
    assert read_voice(tmp_path / "w" / "x.pth").spec.sample_rate == 40000


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"version": "v1"}, "version v2, not v1"),
        ({"sample_rate": "48k"}, "40k, not 48k"),
        ({"use_f0": "no"}, "yes"),
    ],
)
def test_extract_refuses_a_choice_that_is_not_true(tmp_path, experiment, events, choice, reason):
    with pytest.raises(BadInput, match=reason):
        run(ExtractOptions(experiment.root, weights=tmp_path / "w", **choice), events)
    assert not (tmp_path / "w").exists()


def test_extract_needs_a_generator(tmp_path, events, voices):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFile, match=r"holds no G_\*.pth"):
        run(ExtractOptions(tmp_path / "empty"), events)
    with pytest.raises(BadCheckpoint, match="a finished voice, not a training checkpoint"):
        run(ExtractOptions(voices[0]), events)
    torch.save(
        {"model": {"discriminators.0.convs.0.bias": torch.zeros(1)}, "iteration": 1}, tmp_path / "D_1.pth"
    )
    with pytest.raises(BadCheckpoint, match="discriminator, not a voice"):
        run(ExtractOptions(tmp_path / "D_1.pth"), events)


def test_another_voice_is_only_replaced_when_asked(tmp_path, experiment, voices, events):
    options = ExtractOptions(experiment.root, weights=tmp_path, name=voices[0].stem)
    before = voices[0].read_bytes()
    with pytest.raises(BadInput, match="holds another voice"):
        run(options, events)
    assert voices[0].read_bytes() == before
    run(dataclasses.replace(options, overwrite=True), events)
    assert read_voice(voices[0]).info == "7epoch"
    run(options, events)  # the same voice again is no other


@pytest.mark.parametrize("name", ["../out", "a/b", "con", "a:b", ".."])
def test_names_stay_in_the_folder(tmp_path, voices, events, name):
    with pytest.raises(BadInput):
        run(MergeOptions(tuple(voices), name, weights=tmp_path / "w"), events)
    assert not (tmp_path / "w").exists()


def test_merge(tmp_path, voices, events):
    summary = run(MergeOptions(tuple(voices), "mix.pth", weight=(0.3,), weights=tmp_path), events)
    mixed = read_voice(tmp_path / "mix.pth")
    a, b = (read_voice(path).weights["emb_g.weight"] for path in voices)
    assert torch.equal(mixed.weights["emb_g.weight"], (0.3 * a + 0.7 * b).half().float())
    assert mixed.info == summary["info"] == "목소리 1 + 목소리 2 (0.3)"


def test_merge_of_three_and_equal_shares(tmp_path, voices, events):
    run(MergeOptions((*voices, voices[0]), "three", weight=(1, 2, 1), weights=tmp_path), events)
    run(MergeOptions(tuple(voices), "half", weights=tmp_path), events)
    three, half = (read_voice(tmp_path / f"{name}.pth").weights["emb_g.weight"] for name in ("three", "half"))
    torch.testing.assert_close(three, half, rtol=1e-3, atol=1e-4)


def test_show_tells_every_file(tmp_path, voices, experiment, events):
    (tmp_path / "cut.pth").write_bytes(voices[0].read_bytes()[:5000])
    files = (voices[0], experiment.generator_checkpoint(70), tmp_path / "cut.pth", tmp_path / "gone.pth")
    summary = run(ShowOptions(files), events)
    assert summary["failed"] == 2
    assert summary["files"][str(voices[0])]["sample_rate"] == 40000
    assert summary["files"][str(files[1])]["epoch"] == 7
    assert [event.item for event in events.of(ItemFailed)] == [str(files[2]), str(files[3])]
    with pytest.raises(BadInput, match="none of the files"):
        run(ShowOptions(files[2:]), events)


def test_set_info(tmp_path, voices, events):
    run(SetInfoOptions(voices[0], "새 글"), events)
    assert read_voice(voices[0]).info == "새 글"
    run(SetInfoOptions(voices[0], "copy", name="copy", weights=tmp_path), events)
    assert (read_voice(voices[0]).info, read_voice(tmp_path / "copy.pth").info) == ("새 글", "copy")
    with pytest.raises(BadInput, match="holds another voice"):
        run(SetInfoOptions(voices[0], "x", name=voices[1].name, weights=tmp_path), events)


def test_compare(voices, events):
    assert run(CompareOptions(voices[0], voices[0]), events)["identical"]
    summary = run(CompareOptions(*voices), events)
    assert summary["similarity"] < 0.9
    assert any("decoder" in event.message for event in events.of(Log))


@pytest.mark.parametrize(
    "options",
    [
        ExtractOptions("-G.pth", name="x", overwrite=True),
        MergeOptions(("a b.pth", "-b.pth"), "n", weight=(0.25, 0.75)),
        ShowOptions(("a.pth",)),
        SetInfoOptions("a.pth", info="--text"),
        CompareOptions("a.pth", "b.pth"),
    ],
)
def test_options_to_arguments_and_back(options):
    back = parse(type(options), to_argv(options))
    assert to_argv(back) == to_argv(options)
    argv = Command("infer.stages.ckpt", options).argv
    assert argv[1:4] == ["-m", "infer.stages.ckpt", options.ACTION]


def test_exit_codes(tmp_path, voices, capsys):
    assert main(["compare", *map(str, voices)]) == 0
    assert main(["show", str(tmp_path / "none.pth")]) == 3
    assert '"failed"' in capsys.readouterr().out
    assert main(["merge", str(voices[0]), "--name=x"]) == 2
    assert main(["merge", *map(str, voices), "--name=x", "--weight=2"]) == 2
    assert main(["no-such-action"]) == 2
    assert main([]) == 2
    capsys.readouterr()
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ACTIONS)
    assert main(["set_info", str(voices[0]), "--info=x"]) == 0


@pytest.mark.parametrize("arguments", [["--help"], ["extract", "--help"]])
def test_help_is_light(arguments):
    code = (
        "import sys; from infer.stages.ckpt.__main__ import main; code = main(sys.argv[1:]);"
        "sys.exit(code or ('torch' in sys.modules) * 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "extract" in done.stdout
