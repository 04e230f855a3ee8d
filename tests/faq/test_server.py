"""Questions 4, 5, 6 and 16: the server, its jobs, its commands, and libraries that do not load."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file

from infer.jobs.detached import JobStore
from infer.jobs.experiment import Experiment
from infer.jobs.job_folder import JobFolder
from infer.lib.files import REPO
from infer.web.job_view import JobView
from infer.web.launch import free_port
from infer.web.train_steps import Order, start
from tests.faq.conftest import contents, done, ended, make_page, samples, tiny_form, until
from tests.web.pages import AUDIO, tiny_voice

DEAD = "http://127.0.0.1:9"  # nobody answers there
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), DEAD)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL, and bash")


class Server:
    """`infer-web.py` over the folders of `page`, with a proxy in its environment that is not there."""

    def __init__(self, root: Path):
        self.page = make_page(root)
        home = self.page.home
        flags = {"logs": home.logs, "weights": home.weights, "output": home.output, "device": "cpu"}
        port = free_port("127.0.0.1", 18865)
        argv = [sys.executable, "infer-web.py", "--noautoopen", f"--port={port}"]
        argv += [f"--{name}={value}" for name, value in flags.items()]
        plain = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        self.process = subprocess.Popen(
            argv, cwd=REPO, env=plain | PROXIES, stdout=subprocess.PIPE, text=True
        )
        line = next(line for line in self.process.stdout if "The page is at" in line)
        self.url = next(word for word in line.split() if word.startswith("http"))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def recordings(tmp_path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in sorted((AUDIO / "target").iterdir())[:2]:
        shutil.copy(path, folder)
    return folder


@pytest.mark.slow
def test_q05_a_dead_proxy_in_the_environment_disturbs_neither_page_nor_conversion(server, speech):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.url, timeout=60) as answer:
        assert answer.status == 200 and b"rvcLanguage" in answer.read()
    tiny_voice(server.page.home.weights / "목소리.pth")
    told, path = Client(server.url, verbose=False).predict(
        speaker_id=0,
        source=handle_file(speech),
        voice="목소리.pth",
        f0_method="pm",
        index_rate=0.0,
        api_name="/infer_convert",
    )
    assert "1.0" in told or "0.9" in told
    assert np.abs(samples(path)).max() > 100


@pytest.mark.slow
def test_q04_a_job_outlives_its_server_and_the_next_page_shows_it(server, recordings):
    job_id = Client(server.url, verbose=False).predict(
        folder=str(recordings), experiment="outlives", wait=False, api_name="/train_preprocess"
    )
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    killed_s = time.time()
    page = server.page
    root = page.home.logs / "outlives"
    assert JobStore(page.home.jobs).job(job_id).living
    assert JobView(page, "train").newest(root).id == job_id
    assert done(page, job_id).ended_s > killed_s
    assert len(Experiment(root).stems()) >= 2


@pytest.mark.slow
def test_q04_a_job_that_was_cut_off_is_offered_again(page, recordings):
    form = tiny_form(page, experiment="cut off", trainset=str(recordings))
    job_id = start(page.jobs, page.home, "cpu", Order(form, ("preprocess",)))
    folder = JobFolder(page.home.jobs / job_id)
    pid = until(lambda: folder.read_state().pid)
    os.kill(pid, signal.SIGKILL)
    assert ended(page, job_id).state == "interrupted"
    view = JobView(page, "train")
    assert view.newest(None).id == job_id
    _, _, stop, resume, *_ = view.render(job_id, "en")
    assert resume["visible"] and not stop["visible"]
    *_, resumed, _ = view._resume(job_id)
    done(page, resumed)
    assert len(Experiment(page.home.logs / "cut off").stems()) >= 2


@pytest.mark.slow
def test_q06_the_lines_the_page_shows_do_the_same_in_a_terminal(one_click):
    _, _, _, _, commands, *_ = JobView(one_click.page, "train").render(one_click.failed.id, "en")
    lines = commands["value"].splitlines()
    assert len(lines) == 5
    experiment = one_click.experiment
    clicked = experiment.root.rename(experiment.root.with_name("clicked"))
    try:
        for line in lines[:2]:  # slicing and pitch
            typed = subprocess.run(["bash", "-c", line], cwd=REPO, capture_output=True, text=True)
            assert typed.returncode == 0, typed.stdout + typed.stderr
        for typed, by_page in zip(_made(experiment), _made(Experiment(clicked)), strict=True):
            assert typed == by_page and len(typed) >= 3
    finally:
        shutil.rmtree(experiment.root, ignore_errors=True)
        clicked.rename(experiment.root)


def _made(experiment: Experiment) -> list[dict]:
    folders = (experiment.gt_wavs, experiment.wavs_16k, experiment.f0_hz, experiment.f0_coarse)
    return [contents(folder) for folder in folders]


WITHOUT = """
import json, sys
from dataclasses import replace
from pathlib import Path
from infer.lib.errors import RvcError
from infer.web import app
from infer.web.errors_i18n import translated
from tests.faq.conftest import PM, make_page
from tests.web.pages import tiny_voice
from tools.doctor import LIBRARIES, check_library

page = make_page(Path(sys.argv[1]))
built = len(app.build(page.home).blocks)
voice = tiny_voice(page.home.weights / "a.pth")
told = {"built": built}
for method in ("fcpe", "pm", "harvest"):
    try:
        options = replace(PM, f0_method=method, index_rate=0)
        told[method] = page.engine.convert(Path(sys.argv[2]), voice, options).duration_s
    except RvcError as error:
        told[method] = [translated(error, language) for language in ("en", "ko")]
names = ("parselmouth", "pyworld")
told["doctor"] = [check_library(one).remedy for one in LIBRARIES if one.module in names]
print(json.dumps(told))
"""


@pytest.mark.slow
def test_q16_a_library_that_does_not_load_takes_only_its_own_methods_along(tmp_path, speech):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("parselmouth", "pyworld"):
        text = 'raise OSError("Could not load shared object file: llvmlite.dll")\n'
        (broken / f"{name}.py").write_text(text)
    argv = [sys.executable, "-c", WITHOUT, str(tmp_path / "home"), str(speech)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(broken), str(REPO)])}
    run = subprocess.run(argv, cwd=REPO, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["built"] > 100
    assert told["fcpe"] == pytest.approx(1, abs=0.05)
    for method, package in (("pm", "parselmouth"), ("harvest", "pyworld")):
        english, korean = told[method]
        assert package in english and "choose another pitch method" in english
        assert package in korean and "another" not in korean
    assert all("Visual C++ Redistributable" in remedy for remedy in told["doctor"])
    assert len(told["doctor"]) == 2
