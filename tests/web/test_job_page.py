"""A job view in a real browser: it attaches by itself, survives a killed server, and obeys its buttons."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest

from infer.lib.files import REPO
from infer.web.launch import free_port
from tests.e2e.browser import chromium, needs_browser
from tests.jobs.conftest import Jobs, jobs, until  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.skipif(os.name == "nt", reason="looks at processes through /proc"),
]
HEAD = ".rvc-job"


class Server:
    """The page of tests/web/job_page.py, killed and started at the same port."""

    def __init__(self, jobs: Jobs):  # noqa: F811
        self.jobs, self.port = jobs, free_port("127.0.0.1", 18865)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-m", "tests.web.job_page", str(self.jobs.root), str(self.port)]
        self.process = subprocess.Popen(argv, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "gradio_api/app_id", timeout=5):
                return True
        except OSError:
            return False


@pytest.fixture
def server(jobs):  # noqa: F811
    server = Server(jobs)
    yield server
    server.kill()


def visit(browser, server: Server, language: str):
    page = browser.new_context(locale=language).new_page()
    page.set_default_timeout(60_000)
    page.goto(server.url)
    page.wait_for_selector("#experiment")
    return page


def shows(page, *parts: str) -> None:
    def text() -> str:
        return page.locator(HEAD).inner_text() if page.locator(HEAD).count() else ""

    until(lambda: all(part in text() for part in parts), text)


def test_a_page_attaches_stops_resumes_and_survives_its_server(jobs, server):  # noqa: F811
    with chromium() as browser:
        early = visit(browser, server, "en-US")
        time.sleep(2)
        assert early.locator(HEAD).count() == 0  # no job, no block
        jobs.start("노래 <b>", count=6, pace_s=0.3, experiment="exp")
        jobs.left("노래 <b>", "pid")
        shows(early, "노래 <b>", "running", "3 of 6")
        late = visit(browser, server, "ko-KR")
        shows(late, "노래 <b>", "진행 중", "6개 중 3개")
        late.reload()
        shows(late, "6개 중 3개")
        late.locator("#test-job button").first.wait_for(state="attached")
        late.get_by_text("명령어와 로그").click()
        command = jobs.store.jobs()[0].displays[0]
        assert late.locator("#test-job-commands textarea").input_value() == command

        server.kill()
        banner = late.locator("#rvc-closed")
        banner.wait_for()
        assert "프로그램이 종료되었습니다" in banner.inner_text()
        assert jobs.store.jobs()[0].state == "running"
        server.start()
        banner.wait_for(state="detached")
        shows(late, "6개 중 3개")
        shows(early, "3 of 6")

        late.locator("#test-job-stop").click()
        shows(late, "중지됨")
        shows(early, "stopped")
        jobs.let_go("노래 <b>")
        early.locator("#test-job-resume").click()
        shows(early, "done")
        assert [job.state for job in jobs.store.jobs()] == ["done", "stopped"]


def test_an_interrupted_job_is_offered_after_a_restart(jobs, server):  # noqa: F811
    job_id = jobs.start("a", experiment="exp")
    jobs.left("a", "pid")
    server.kill()
    os.kill(jobs.supervisor(job_id), 9)
    jobs.wait(job_id, "interrupted")
    server.start()
    with chromium() as browser:
        page = visit(browser, server, "ja-JP")
        shows(page, "中断")
        jobs.let_go("a")
        page.locator("#test-job-resume").click()
        shows(page, "完了")
