"""What jobs say, on the console of the server: RVC's users read it there."""

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

from infer.jobs.events import from_line
from infer.jobs.progress import readable
from infer.jobs.tail import Tail

if TYPE_CHECKING:
    from infer.jobs.detached import JobStore

LOOK_EVERY_S = 1.0


def follow_on_console(store: "JobStore") -> None:
    """Prints from a thread of its own until the program ends."""
    threading.Thread(target=_follow, args=(Follower(store),), daemon=True).start()


def _follow(follower: "Follower") -> None:
    while True:
        with contextlib.suppress(OSError, ValueError):  # a console that was closed
            follower.look()
        time.sleep(LOOK_EVERY_S)


class Follower:
    """Jobs that have ended before are left alone; of those at work, what comes from now on is printed."""

    def __init__(self, store: "JobStore"):
        self._store = store
        self._tails: dict[str, Tail] = {}
        self._over: set[str] = set()
        for job in store.jobs():
            if job.living:
                self._tails[job.id] = Tail(store.folder(job.id).events_file)
                self._tails[job.id].skip()
                self._say(f"{job.title}: {job.state} since before this server was started")
            else:
                self._over.add(job.id)

    def look(self) -> None:
        for job in reversed(self._store.jobs()):
            if job.id in self._over:
                continue
            tail = self._tails.setdefault(job.id, Tail(self._store.folder(job.id).events_file))
            for line in tail.read():
                event = from_line(line)
                if event and (text := readable(event)):
                    self._say(f"[{job.title}] {text}")
            if not job.living:
                self._over.add(job.id)
                self._tails.pop(job.id)
                self._say(f"[{job.title}] {job.state}" + (f": {job.reason}" if job.reason else ""))

    def _say(self, text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
