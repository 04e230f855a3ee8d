"""Runs of the real command: killed, stopped, and spread over two processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.jobs.command import to_argv
from infer.lib.checkpoint import read_voice
from infer.stages.train.run import run
from infer.stages.train.tally import Tally
from tests.stages.train.tiny import Recorder, make_experiment, make_options

REPO = Path(__file__).parents[3]
TIMEOUT_S = 120


def _start(options, prefix=(), env=None) -> subprocess.Popen:
    argv = [sys.executable, *prefix, "-m", "tests.stages.train.tiny", *to_argv(options)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    return subprocess.Popen(
        argv, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def _events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"event"')]


def _epochs(events: list[dict]) -> list[list[float]]:
    metrics = [event for event in events if event["event"] == "metric" and "epoch_s" in event["values"]]
    return [[event["values"][name] for name in Tally.NAMES] for event in metrics]


def _wait_for(process: subprocess.Popen, reached) -> str:
    """Reads the output until a line satisfies `reached`."""
    text = ""
    for line in process.stdout:
        text += line
        if reached(line):
            return text
    raise AssertionError(f"ended early: {text}\n{process.stderr.read()}")


def test_a_killed_run_goes_on_with_the_same_losses(experiment, undisturbed):
    options = make_options(experiment, total_epoch=3, latest_only=True)
    process = _start(options)
    _wait_for(process, lambda line: "at epoch 1" in line)
    time.sleep(0.3)  # somewhere in the save or in epoch 2
    process.kill()
    process.communicate()
    recorder = Recorder()
    run(options, recorder)
    assert any(message.startswith("Resuming from epoch ") for message in recorder.messages)
    resumed = recorder.epoch_losses
    assert 1 <= len(resumed) <= 2
    assert resumed == undisturbed[0][-len(resumed) :]


@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")
def test_a_stopped_run_saves_within_the_epoch(experiment, undisturbed):
    options = make_options(experiment, total_epoch=3, save_every_epoch=3, log_interval=1)
    process = _start(options)
    _wait_for(process, lambda line: '"step": 5' in line)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 3
    assert "run the same command again to go on" in _events(out)[-1]["reason"]
    assert len(experiment.checkpoints()) == 1
    assert 5 < experiment.checkpoints()[0] < 12
    one = read_voice(run(options, Recorder())["voice"]).weights
    other = read_voice(undisturbed[1]).weights
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_two_processes_train_like_one(experiment, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    prefix = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}")
    process = _start(make_options(experiment, batch_size=2), prefix)
    out, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    alone = Recorder()
    run(make_options(make_experiment(tmp_path / "alone"), batch_size=4), alone)
    np.testing.assert_allclose(_epochs(_events(out)), alone.epoch_losses, rtol=1e-4)
    assert sum(event["event"] == "finished" for event in _events(out)) == 1
