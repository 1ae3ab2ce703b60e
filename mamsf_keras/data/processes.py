"""Work on all processors."""

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process


def in_processes(function, tasks, workers=None, start=None, done=None) -> list:
    """Calls a function of a module on each task, in spawned processes; one worker works in this process.

    Args:
        function: takes a task.
        tasks: a list.
        workers: processes; None takes one a processor.
        start: called once in each process.
        done: called here with each result, in the tasks' order.

    Returns:
        The results, in the tasks' order.

    Raises:
        ChildProcessError: if a process died.
    """
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        if start:
            start()
        return _gather(map(function, tasks), done)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (start,)) as pool:
        try:
            return _gather(pool.map(function, tasks), done)
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "A worker process died: out of memory, killed, or a script without `if __name__ == '__main__':`. "
                "One worker (--workers 1) works in this process."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _gather(results, done):
    gathered = []
    for result in results:
        gathered.append(result)
        if done:
            done(result)
    return gathered


def _start(start):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start:
        start()


def _end_with_parent():
    """Ends this process when its parent is gone, even a killed one, whose workers would wait for tasks for good."""
    parent_process().join()
    os._exit(1)
