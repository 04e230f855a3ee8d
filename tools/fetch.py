"""Download one file over HTTPS: resumable, bounded, checked, and placed whole or not at all."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from infer.lib.errors import BadInput, MissingFile, RvcError
from infer.lib.files import sha256_file

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_REDIRECTS = 5
ATTEMPTS, PAUSE_S = 4, 1.0
TIMEOUT = httpx.Timeout(30.0, connect=15.0)
SPARE_BYTES = 64 * 2**20  # left free on the disk


@dataclass(frozen=True)
class Wanted:
    """A file to get. `size` 0 = unknown; `limit` bounds it in any case."""

    url: str
    target: Path
    sha256: str
    size: int = 0
    limit: int = 2**30

    @property
    def partial(self) -> Path:
        """What has arrived so far; kept when a transfer breaks off."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def by_hand(self) -> str:
        return f"try again later, or download {self.url} by hand to {self.target}"


Advance = Callable[[int, int], None]  # bytes so far, bytes in all


def fetch(wanted: Wanted, advance: Advance = lambda done, total: None) -> Path | None:
    """Afterwards `wanted.target` exists and has the right hash; otherwise an RvcError says what to do.

    A different file that was there is kept under the returned name.
    """
    check_address(wanted.url)
    wanted.target.parent.mkdir(parents=True, exist_ok=True)
    resumed = wanted.partial.exists()
    transfer(wanted, advance)
    if resumed and not matches(wanted.partial, wanted):
        wanted.partial.unlink()  # the older part may have been of another file: once more from the start
        transfer(wanted, advance)
    if not matches(wanted.partial, wanted):
        wanted.partial.unlink()
        raise BadInput(f"what arrived from {wanted.url} is not the published file", "try again later")
    aside = None
    if wanted.target.exists():
        aside = wanted.target.replace(wanted.target.with_name(f"{wanted.target.name}.other"))
    wanted.partial.replace(wanted.target)
    return aside


def transfer(wanted: Wanted, advance: Advance) -> None:
    """Fill `wanted.partial`, going on where it ends; a broken connection is retried a few times."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _length(wanted.partial)
        try:
            _receive(wanted, advance)
            return
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError):
                raise _refused(wanted, error.response) from error
            if attempt == ATTEMPTS or (_length(wanted.partial) == before and attempt > 1):
                raise _unreachable(wanted, error) from error
            time.sleep(PAUSE_S)


def matches(path: Path, wanted: Wanted) -> bool:
    """Is this the published file, by size (if known) and hash?"""
    if not path.is_file() or (wanted.size and path.stat().st_size != wanted.size):
        return False
    return sha256_file(path) == wanted.sha256


def check_address(url: str) -> None:
    """HTTPS only; plain HTTP is allowed to this machine itself. Raises BadInput."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise BadInput(f"{url} is not a secure address", "use one that begins with https://")


def _receive(wanted: Wanted, advance: Advance) -> None:
    have = _length(wanted.partial)
    if wanted.size and have == wanted.size:
        return
    with _answer(wanted.url, have) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            wanted.partial.unlink(missing_ok=True)  # longer than the file there: begin again
            raise httpx.ReadError("the part on this machine does not fit the file")
        response.raise_for_status()
        have = have if _continues(response, have) else 0
        total = _total(response, have)
        _check_size(wanted, total, have)
        with wanted.partial.open("ab" if have else "wb") as file:
            for block in response.iter_raw():
                have += len(block)
                if have > (wanted.size or total or wanted.limit):
                    raise BadInput(f"{wanted.url} sends more than the announced size", "try again later")
                file.write(block)
                advance(have, wanted.size or total)
    if total and have < total:
        raise httpx.ReadError("the connection closed early")


@contextmanager
def _answer(url: str, have: int) -> Iterator[httpx.Response]:
    """The response after redirects, each of which must be secure too."""
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client:
        for _ in range(MOST_REDIRECTS + 1):
            with client.stream("GET", url, headers=headers) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                url = urljoin(url, response.headers["location"])
            check_address(url)
    raise BadInput(f"{url} redirects again and again", "try again later or use --mirror")


def _continues(response: httpx.Response, have: int) -> bool:
    """Does the answer begin where our part ends? A server may ignore the Range and send everything."""
    match = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return response.status_code == httpx.codes.PARTIAL_CONTENT and bool(match) and int(match[1]) == have


def _total(response: httpx.Response, have: int) -> int:
    """Bytes of the whole file, 0 if the server does not say."""
    length = response.headers.get("content-length", "")
    return have + int(length) if length.isdigit() else 0


def _check_size(wanted: Wanted, total: int, have: int) -> None:
    if total > wanted.limit or (wanted.size and total and total != wanted.size):
        raise BadInput(
            f"{wanted.url} has {total:,} bytes, which is not the published file", "try again later"
        )
    need = (wanted.size or total) - have + SPARE_BYTES
    free = shutil.disk_usage(wanted.target.parent).free
    if free < need:
        missing = (need - free) / 2**20
        raise BadInput(
            f"the disk of {wanted.target} is full", f"free at least {missing:,.0f} MiB and try again"
        )


def _refused(wanted: Wanted, response: httpx.Response) -> RvcError:
    if response.status_code == httpx.codes.NOT_FOUND:
        return MissingFile(f"{wanted.url} does not exist (404)", "check --mirror, or try again later")
    return MissingFile(f"the server refused {wanted.url} ({response.status_code})", wanted.by_hand)


def _unreachable(wanted: Wanted, error: httpx.HTTPError) -> RvcError:
    host = urlsplit(wanted.url).netloc
    if _length(wanted.partial):
        kept = f"run the same command again to go on at {_length(wanted.partial):,} bytes"
        return MissingFile(f"the download of {wanted.target.name} from {host} broke off", kept)
    reason = str(error) or type(error).__name__
    hint = f"check the internet connection and proxy; {wanted.by_hand}"
    return MissingFile(f"{host} cannot be reached ({reason})", hint)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
