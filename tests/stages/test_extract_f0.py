import os
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from infer.jobs.command import Command, parse, to_argv
from infer.jobs.events import Failed, Finished, ItemFailed, Progress
from infer.jobs.experiment import Experiment
from infer.lib.errors import BadInput, MissingFile
from infer.stages.extract_f0.__main__ import main
from infer.stages.extract_f0.options import ExtractF0Options
from infer.stages.extract_f0.run import run


def write_wav(experiment, stem, audio):
    experiment.wavs_16k.mkdir(parents=True, exist_ok=True)
    soundfile.write(experiment.wav_16k(stem), audio, 16000, subtype="FLOAT")


@pytest.fixture
def experiment(tmp_path, tone):
    """Three clips, half a second each, made by this program."""
    experiment = Experiment(tmp_path / "내 목소리 'a'")
    for number, hz in enumerate((150.0, 200.0, 250.0)):
        write_wav(experiment, f"0_{number}", tone(0.5, hz))
    experiment.update_settings(sample_rate=40000)
    return experiment


def options(experiment, **changes):
    return ExtractF0Options(experiment=experiment.root, **{"method": "pm", "device": "cpu"} | changes)


def times(experiment):
    return {path.name: path.stat().st_mtime_ns for path in experiment.f0_hz.glob("*.npy")}


def test_writes_rvcs_arrays(experiment, events):
    summary = run(options(experiment), events)
    assert (summary["extracted"], summary["kept"], summary["failed"]) == (3, 0, 0)
    hz = np.load(experiment.f0_hz_file("0_1"))
    coarse = np.load(experiment.f0_coarse_file("0_1"))
    assert (hz.dtype, coarse.dtype) == (np.float64, np.int64)
    assert hz.shape == coarse.shape == (50,)
    assert np.median(hz) == pytest.approx(200, rel=0.01)
    assert coarse.min() == 1  # unvoiced ends
    assert [event.done for event in events.of(Progress)] == [1, 2, 3]
    assert len(events.of(Finished)) == 1
    settings = experiment.read_settings()
    assert (settings.f0_method, settings.fill_unvoiced) == ("pm", False)
    log = experiment.extract_log.read_text(encoding="utf-8").splitlines()
    assert log[0] == "todo-f0-3"
    assert log[1].startswith("f0ing,now-0,all-3,-")


def test_other_methods_have_one_frame_more(experiment, events):
    run(options(experiment, method="dio"), events)
    assert np.load(experiment.f0_hz_file("0_0")).shape == (51,)


def test_rerun_keeps_what_is_done(experiment, events, tone):
    run(options(experiment), events)
    before = times(experiment)
    summary = run(options(experiment), events)
    assert (summary["kept"], summary["extracted"]) == (3, 0)
    assert times(experiment) == before
    write_wav(experiment, "0_1", tone(0.5, 300.0))
    write_wav(experiment, "0_3", tone(0.5, 350.0))
    summary = run(options(experiment), events)
    assert (summary["kept"], summary["extracted"]) == (2, 2)
    assert np.median(np.load(experiment.f0_hz_file("0_1"))) == pytest.approx(300, rel=0.01)


@pytest.mark.parametrize("change", ({"method": "dio"}, {"fill_unvoiced": True}))
def test_other_options_redo_everything(experiment, events, change):
    run(options(experiment), events)
    assert run(options(experiment, **change), events)["extracted"] == 3


def test_a_deleted_or_half_pair_is_made_again(experiment, events):
    run(options(experiment), events)
    experiment.f0_coarse_file("0_2").unlink()
    assert run(options(experiment), events)["extracted"] == 1
    assert experiment.f0_coarse_file("0_2").is_file()


def test_curves_of_removed_clips_go(experiment, events):
    run(options(experiment), events)
    experiment.wav_16k("0_2").unlink()
    run(options(experiment), events)
    assert sorted(times(experiment)) == ["0_0.wav.npy", "0_1.wav.npy"]


def put_curves(experiment, stem, length=50):
    for path, array in (
        (experiment.f0_coarse_file(stem), np.full(length, 7, np.int32)),
        (experiment.f0_hz_file(stem), np.full(length, 77.0)),
    ):
        path.parent.mkdir(exist_ok=True)
        np.save(path, array)


def test_another_programs_curves_are_kept_until_the_method_changes(experiment, events):
    experiment.settings_file.unlink()  # only our preprocess writes it
    put_curves(experiment, "0_0")
    put_curves(experiment, "0_1")
    experiment.f0_hz_file("0_1").write_bytes(b"half a fi")
    assert run(options(experiment), events)["kept"] == 1
    assert np.load(experiment.f0_hz_file("0_0"))[0] == 77
    assert run(options(experiment, method="dio"), events)["extracted"] == 3
    assert np.load(experiment.f0_hz_file("0_0"))[25] == pytest.approx(150, rel=0.01)


def test_unrecorded_curves_of_our_own_experiment_are_not_trusted(experiment, events):
    put_curves(experiment, "0_0")
    assert run(options(experiment), events)["extracted"] == 3


def test_shards_share_the_work(experiment, events):
    run(options(experiment, shard="1/2"), events)
    assert sorted(times(experiment)) == ["0_1.wav.npy"]
    assert experiment.read_settings().f0_method is None
    run(options(experiment, shard="0/2"), events)
    assert len(times(experiment)) == 3
    assert run(options(experiment, shard="7/8"), events)["clips"] == 0
    assert run(options(experiment), events)["kept"] == 3


def test_bad_clips_are_left_out(experiment, events, tone):
    broken = tone(0.5)
    broken[100] = np.nan
    write_wav(experiment, "1_0", broken)
    experiment.wav_16k("1_1").write_bytes(b"not a wav")
    experiment.wav_16k("1_2").write_bytes(b"")
    write_wav(experiment, "1_3", tone(0.001))
    summary = run(options(experiment), events)
    assert (summary["extracted"], summary["failed"]) == (3, 4)
    assert {event.item for event in events.of(ItemFailed)} == {"1_0", "1_1", "1_2", "1_3"}
    assert len(times(experiment)) == 3
    assert experiment.extract_log.read_text(encoding="utf-8").count("f0fail-") == 4


def test_silence(experiment, events):
    write_wav(experiment, "2_0", np.zeros(8000, np.float32))
    run(options(experiment), events)
    assert not np.load(experiment.f0_hz_file("2_0")).any()
    run(options(experiment, fill_unvoiced=True), events)
    assert not experiment.f0_hz_file("2_0").exists()
    assert np.load(experiment.f0_hz_file("0_0")).min() > 100
    assert [event.item for event in events.of(ItemFailed)] == ["2_0"]


def test_workers_give_the_same(experiment, events, tone):
    for number in range(16):
        write_wav(experiment, f"3_{number}", tone(0.2, 150.0 + 5 * number))
    run(options(experiment, workers=1), events)
    alone = np.load(experiment.f0_hz_file("3_7"))
    for path in experiment.f0_hz.glob("*.npy"):
        path.unlink()
    assert run(options(experiment, workers=2), events)["extracted"] == 19
    np.testing.assert_array_equal(np.load(experiment.f0_hz_file("3_7")), alone)


def test_nothing_usable_is_an_error(tmp_path, events):
    with pytest.raises(BadInput, match="run preprocess first"):
        run(options(Experiment(tmp_path / "none")), events)
    experiment = Experiment(tmp_path / "broken")
    experiment.wavs_16k.mkdir(parents=True)
    experiment.wav_16k("0_0").write_bytes(b"text")
    with pytest.raises(BadInput, match="none of the 1 clips"):
        run(options(experiment), events)


def test_missing_model_is_said_before_anything_is_touched(experiment, events, tmp_path):
    run(options(experiment), events)
    with pytest.raises(MissingFile, match="download_assets.py rmvpe"):
        run(options(experiment, method="rmvpe", assets=tmp_path), events)
    assert len(times(experiment)) == 3
    assert experiment.read_settings().f0_method == "pm"


def test_main_and_exit_codes(experiment, capsys):
    where = f"--experiment={experiment.root}"
    assert main([where, "--method=pm", "--device=cpu", "--workers=1"]) == 0
    assert main([where, "--method=yin"]) == 2
    assert main([where, "--shard=2/2"]) == 2
    assert main([where, "--workers=-1"]) == 2
    assert main([f"--experiment={experiment.root / 'none'}", "--method=pm", "--device=cpu"]) == 3
    assert "run preprocess first" in capsys.readouterr().out


def test_argv_round_trip(experiment):
    wanted = options(experiment, shard="1/3", workers=2, fill_unvoiced=True)
    assert parse(ExtractF0Options, to_argv(wanted)) == wanted


def test_help_is_light():
    began = time.monotonic()
    code = (
        "import sys\nfrom infer.stages.extract_f0.__main__ import main\n"
        "assert main(['--help']) == 0\nassert not {'torch', 'librosa', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rmvpe" in done.stdout
    assert time.monotonic() - began < 5


def test_a_killed_run_leaves_no_half_files(experiment, tone):
    for number in range(40):
        write_wav(experiment, f"4_{number}", tone(2.0, 140.0))
    command = Command("infer.stages.extract_f0", options(experiment, method="harvest", workers=1))
    process = subprocess.Popen(command.argv, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if '"progress"' in line or line.startswith("["):
            break
    process.kill()
    process.wait()
    process.stdout.close()
    for path in experiment.f0_hz.glob("[0-9]*.npy"):
        assert np.load(path).ndim == 1
    kept = run(options(experiment), lambda event: None)
    assert kept["extracted"] == 43  # another method: everything anew


def test_a_read_only_folder_is_one_sentence(experiment, capsys):
    if os.name == "nt" or os.geteuid() == 0:
        experiment.f0_coarse.write_text("a file where the folder should be")
    else:
        experiment.root.chmod(0o500)
    try:
        assert main([f"--experiment={experiment.root}", "--method=pm", "--device=cpu"]) == 3
        assert Failed.__name__.lower() in capsys.readouterr().out
    finally:
        experiment.root.chmod(0o700)
