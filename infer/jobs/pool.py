"""Work in processes of its own, one task after the other in each."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

from infer.lib.errors import RvcError

Task = TypeVar("Task")
Result = TypeVar("Result")


def outcomes(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """(task, work(task)) as they come; with one worker in this process. `work` must be picklable.

    Raises what `work` raises, and RvcError when a process was killed.
    """
    if workers <= 1:
        for task in tasks:
            yield task, work(task)
        return
    # Spawned, since forking a process that holds threads (a page, a GPU) can hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent)
    try:
        futures = {pool.submit(work, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RvcError(
            "a worker process was ended from outside, probably for lack of memory",
            "run again with --workers=1; what is finished is kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever, and go on writing meanwhile."""

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
