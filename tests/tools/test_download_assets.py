"""Downloads against a server on this machine that can break off, lie and redirect."""

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import config
from infer.jobs.events import Finished, Progress
from infer.lib.errors import BadInput, MissingFile
from tools import download_assets, fetch
from tools.asset_list import BASE_SUMS, GROUPS, Asset, assets_of
from tools.download_assets import DownloadOptions
from tools.fetch import Wanted

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """`files` by path; `breaks` = bytes after which each of the coming answers closes; `asked` = requests."""

    def __init__(self):
        self.files, self.redirects, self.breaks, self.asked = {"/model.pth": CONTENT}, {}, [], []
        self.ranges, self.announce = True, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *parts):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *parts: None  # a client that hangs up is meant to
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.base = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request):
        wish = request.headers.get("Range")
        self.asked.append((request.path, wish))
        if request.path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[request.path])
            request.end_headers()
        elif request.path not in self.files:
            request.send_error(404)
        else:
            self.send_file(request, self.files[request.path], wish if self.ranges else None)

    def send_file(self, request, content, wish):
        start = int(wish.removeprefix("bytes=").removesuffix("-")) if wish else 0
        if start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if wish else 200)
        if wish:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(self.announce or len(content) - start))
        request.end_headers()
        body = content[start:]
        request.wfile.write(body[: self.breaks.pop(0)] if self.breaks else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE_S", 0)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def wanted(server, tmp_path):
    return Wanted(f"{server.base}/model.pth", tmp_path / "a b 한글" / "model.pth", SHA256, len(CONTENT))


def test_a_file_arrives_whole(server, wanted):
    steps = []
    assert fetch.fetch(wanted, lambda done, total: steps.append((done, total))) is None
    assert wanted.target.read_bytes() == CONTENT
    assert not wanted.partial.exists()
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_connection_is_resumed_at_once(server, wanted):
    server.breaks = [300_000, 200_000]
    fetch.fetch(wanted)
    assert wanted.target.read_bytes() == CONTENT
    assert [wish for _, wish in server.asked] == [None, "bytes=300000-", "bytes=500000-"]


def test_a_download_that_broke_off_goes_on_in_the_next_run(server, wanted):
    server.breaks = [100_000, 0, 0, 0, 0]
    with pytest.raises(MissingFile, match="broke off.*go on at 100,000 bytes"):
        fetch.fetch(wanted)
    assert not wanted.target.exists()
    server.breaks, server.asked = [], []
    fetch.fetch(wanted)
    assert wanted.target.read_bytes() == CONTENT
    assert server.asked == [("/model.pth", "bytes=100000-")]


def test_a_server_without_ranges_sends_all_again(server, wanted):
    server.ranges, server.breaks = False, [100_000]
    fetch.fetch(wanted)
    assert wanted.target.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [5000, len(CONTENT), len(CONTENT) + 5])
def test_a_part_of_another_file_is_thrown_away(server, wanted, length):
    wanted.partial.parent.mkdir()
    wanted.partial.write_bytes(b"x" * length)
    fetch.fetch(wanted)
    assert wanted.target.read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing(server, wanted):
    server.files["/model.pth"] = CONTENT[::-1]
    with pytest.raises(BadInput, match="not the published file"):
        fetch.fetch(wanted)
    assert list(wanted.target.parent.iterdir()) == []


def test_another_file_of_that_name_is_kept_aside(server, wanted):
    wanted.target.parent.mkdir()
    wanted.target.write_bytes(b"the user's own")
    aside = fetch.fetch(wanted)
    assert aside.read_bytes() == b"the user's own"
    assert wanted.target.read_bytes() == CONTENT


def test_a_missing_file_is_named(server, wanted):
    server.files.clear()
    with pytest.raises(MissingFile, match=r"model\.pth does not exist \(404\)"):
        fetch.fetch(wanted)


def test_no_server_says_what_to_do(wanted):
    nowhere = Wanted("http://127.0.0.1:9/model.pth", wanted.target, SHA256)
    with pytest.raises(MissingFile, match="cannot be reached.*by hand to"):
        fetch.fetch(nowhere)


def test_a_wrong_size_is_refused_before_it_is_loaded(server, wanted):
    server.files["/model.pth"] = CONTENT * 2
    with pytest.raises(BadInput, match="2,097,152 bytes"):
        fetch.fetch(wanted)
    assert not wanted.partial.exists()


def test_a_file_of_unknown_size_is_bounded(server, wanted):
    with pytest.raises(BadInput, match="1,048,576 bytes"):
        fetch.fetch(Wanted(wanted.url, wanted.target, SHA256, limit=1000))


def test_a_full_disk_is_noticed_first(server, wanted, monkeypatch):
    monkeypatch.setattr(fetch, "SPARE_BYTES", 2**60)
    with pytest.raises(BadInput, match=r"full: free at least"):
        fetch.fetch(wanted)
    assert not wanted.partial.exists()


def test_secure_redirects_are_followed(server, wanted):
    server.redirects["/model.pth"] = "/moved/model.pth"
    server.files["/moved/model.pth"] = server.files.pop("/model.pth")
    fetch.fetch(wanted)
    assert wanted.target.read_bytes() == CONTENT


@pytest.mark.parametrize("there", ["http://example.org/model.pth", "ftp://127.0.0.1/x", "file:///etc/hosts"])
def test_insecure_redirects_are_refused(server, wanted, there):
    server.redirects["/model.pth"] = there
    with pytest.raises(BadInput, match="not a secure address"):
        fetch.fetch(wanted)


def test_endless_redirects_end(server, wanted):
    server.redirects["/model.pth"] = "/model.pth"
    with pytest.raises(BadInput, match="redirects again and again"):
        fetch.fetch(wanted)


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "file:///a", "ftp://127.0.0.1/a", "nonsense", "https://"]
)
def test_only_https_leaves_this_machine(url):
    with pytest.raises(BadInput, match="https://"):
        fetch.check_address(url)


@pytest.fixture
def small_group(server, monkeypatch):
    """The server holds the group rmvpe under the repository's names, with other content."""
    assets = (Asset("rmvpe.pt", "rmvpe/rmvpe.pt", SHA256, len(CONTENT)), Asset("b/c.pth", "b/c.pth", SHA256))
    monkeypatch.setitem(GROUPS, "rmvpe", assets)
    server.files = {"/base/rmvpe.pt": CONTENT, "/base/b/c.pth": CONTENT}
    return server


def test_a_group_is_downloaded_once(small_group, tmp_path, events):
    options = DownloadOptions(("rmvpe", "rmvpe"), mirror=f"{small_group.base}/base/", assets=tmp_path)
    assert download_assets.run(options, events)["downloaded"] == 2
    assert (tmp_path / "rmvpe/rmvpe.pt").read_bytes() == (tmp_path / "b/c.pth").read_bytes() == CONTENT
    assert events.of(Progress)
    assert events.of(Finished)
    small_group.asked.clear()
    assert download_assets.run(options, events)["already there"] == 2
    assert small_group.asked == []


def test_the_command_ends_with_3_and_a_sentence(small_group, tmp_path, capsys):
    small_group.files.clear()
    assert download_assets.main(["rmvpe", f"--mirror={small_group.base}", f"--assets={tmp_path}"]) == 3
    last = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert last["event"] == "failed"
    assert "404" in last["reason"]


def test_an_unknown_name_is_wrong_usage(capsys):
    assert download_assets.main(["nonsense"]) == 2


def test_it_also_starts_as_a_file(tmp_path):
    script = config.ROOT / "tools" / "download_assets.py"
    command = [sys.executable, str(script), "rmvpe", "--mirror=http://127.0.0.1:9", f"--assets={tmp_path}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "cannot be reached" in done.stdout


def test_addresses():
    rmvpe = GROUPS["rmvpe"][0]
    base = "https://huggingface.co/lj1995/VoiceConversionWebUI/resolve/main"
    assert download_assets.address(rmvpe, None) == f"{base}/rmvpe.pt"
    assert download_assets.address(rmvpe, "https://host/x/") == "https://host/x/rmvpe.pt"


def test_the_list_is_complete():
    assert len(GROUPS["all"]) == 26
    assert {asset.place for asset in GROUPS["pretrained_v2_40k"]} == {
        f"pretrained_v2/{name}.pth" for name in ("D40k", "G40k", "f0D40k", "f0G40k")
    }
    everything = assets_of(list(GROUPS))
    assert len({asset.sha256 for asset in everything}) == len(everything) == 29
    assert all(len(asset.sha256) == 64 for asset in everything)
    assert set(BASE_SUMS) == {"pretrained", "pretrained_v2"}
