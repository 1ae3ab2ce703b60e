"""Work on all CPU cores.

joblib is not used, because the workers of its loky backend (joblib 1.6) still ran a minute after their parent had been
killed.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(SpawnContext):
    """Spawns processes and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        self.processes.append(SpawnProcess(*args, **kwargs))
        return self.processes[-1]

    def kill(self) -> None:
        """Kills the processes, which would finish their tasks otherwise."""
        for process in self.processes:
            if process.is_alive():
                process.kill()


def parallel_map(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int | None = None,
    on_result: Callable[[Result], object] | None = None,
) -> list[Result]:
    """Calls a module-level function on each task, in spawned processes. A single worker runs in this process.

    After an interrupt (Ctrl-C) or another exception, the processes are killed in the middle of their tasks.

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
    context = Workers()
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        try:
            with _interrupts_delayed():
                # Not `pool.map`, which cancels its futures on an interrupt: the thread of the pool then fails on them
                # when the processes are killed (Python 3.11).
                futures = [pool.submit(function, task) for task in tasks]
            return _gather((future.result() for future in futures), on_result)
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "A worker process died. It ran out of memory or was killed, or the script lacks "
                "`if __name__ == '__main__':`. Use `workers=1` to run everything in this process."
            ) from error
        except BaseException:
            context.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_delayed() -> Iterator[None]:
    """Delays Ctrl-C to the end of the block, and makes processes that are started in the block ignore it.

    A worker prints a traceback if it or its parent is interrupted while it starts. The signal mask is for the workers,
    which inherit it (Windows has none); another thread of this process may still receive the signal.
    """
    if threading.current_thread() is not threading.main_thread():  # it does not receive Ctrl-C
        yield
        return
    received: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)


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
    assert parent is not None  # only workers run this
    parent.join()
    os._exit(1)
