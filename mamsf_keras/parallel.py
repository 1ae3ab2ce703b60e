"""Work on all CPU cores.

Not joblib: the workers of its loky backend (joblib 1.6) were still there a minute after their parent had been killed.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int | None = None,
    on_result: Callable[[Result], object] | None = None,
) -> list[Result]:
    """Calls a module-level function on each task, in spawned processes. A single worker works in this process.

    Args:
        function: takes one task.
        tasks: list of picklable tasks.
        workers: number of processes, one per CPU core by default.
        on_result: called in this process with each result, in the order of the tasks.

    Returns:
        The results, in the order of the tasks.

    Raises:
        ChildProcessError: if a worker process died.
    """
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        return _gather(map(function, tasks), on_result)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        try:
            return _gather(pool.map(function, tasks), on_result)
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "A worker process died: out of memory, killed, or a script without `if __name__ == '__main__':`. "
                "With `workers=1` everything runs in this process."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _gather(results, on_result):
    gathered = []
    for result in results:
        gathered.append(result)
        if on_result:
            on_result(result)
    return gathered


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent():
    """Ends this process when its parent is gone. Workers of a killed parent would wait for tasks forever."""
    parent = parent_process()
    assert parent is not None  # workers alone run this
    parent.join()
    os._exit(1)
