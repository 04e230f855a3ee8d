"""Downloads models into assets/: `python -m tools.download_assets hubert rmvpe`.

huggingface_hub names the address; the transfer is our own (fetch.py), because the hub's client
begins again at zero when a broken download is started a second time.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

if (
    not __package__
):  # started as a file, from where the project's modules cannot be seen: once more as a module
    home = str(Path(__file__).resolve().parent.parent)
    again = [sys.executable, "-P", "-m", "tools.download_assets", *sys.argv[1:]]
    sys.exit(subprocess.run(again, env={**os.environ, "PYTHONPATH": home}).returncode)

import config
from infer.jobs.command import option
from infer.jobs.events import Finished, Log, Progress, Report, Started
from infer.jobs.stage import stage_main
from tools.asset_list import GROUPS, REPOSITORY, REVISION, Asset, assets_of

STEPS = 20  # progress reports for each file


@dataclass(frozen=True)
class DownloadOptions:
    """Download models: hubert and rmvpe for conversion; a pretrained set to start training from."""

    names: tuple[str, ...] = option(help="what to get", choices=tuple(GROUPS), positional=True)
    mirror: str | None = option(
        None,
        help="address that holds the files instead of the model repository, e.g."
        f" https://HOST/{REPOSITORY}/resolve/{REVISION}",
    )
    assets: Path | None = option(None, help="folder for the models; left out: the one of config.py")


def run(options: DownloadOptions, report: Report) -> dict:
    """Fetch what is missing. Complete files are kept; returns counts. Raises RvcError."""
    wanted = assets_of(options.names)
    report(Started("download_assets", len(wanted)))
    fetched = sum(get(asset, options, report) for asset in wanted)
    summary = {"downloaded": fetched, "already there": len(wanted) - fetched, "folder": str(options.assets)}
    report(Finished("download_assets", summary))
    return summary


def get(asset: Asset, options: DownloadOptions, report: Report) -> bool:
    """True if the file had to be fetched."""
    from tools.fetch import Wanted, fetch, matches  # httpx: not needed for --help

    wanted = Wanted(address(asset, options.mirror), options.assets / asset.place, asset.sha256, asset.size)
    if matches(wanted.target, wanted):
        report(Log(f"{wanted.target} is complete"))
        return False
    aside = fetch(wanted, _Steps(asset.source, report))
    if aside:
        report(Log(f"another file of that name was there; it is now {aside}"))
    report(Log(f"{wanted.target} is downloaded and checked"))
    return True


def address(asset: Asset, mirror: str | None) -> str:
    """Where the file lies: in the model repository, or below the mirror's address."""
    if mirror:
        return f"{mirror.rstrip('/')}/{asset.source}"
    from huggingface_hub import hf_hub_url

    return hf_hub_url(REPOSITORY, asset.source, revision=REVISION, endpoint="https://huggingface.co")


class _Steps:
    """Reports progress in megabytes, at most STEPS times a file."""

    def __init__(self, name: str, report: Report):
        self._name, self._report, self._step = name, report, -1

    def __call__(self, done: int, total: int) -> None:
        step = done * STEPS // total if total else done // 2**24
        if step != self._step:
            self._step = step
            self._report(Progress(done // 10**6, total // 10**6, f"MB of {self._name}"))


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 when all files are there, 3 when one could not be got."""
    return stage_main(DownloadOptions, "tools.download_assets", argv, settle=config.settle)


if __name__ == "__main__":
    sys.exit(main())
