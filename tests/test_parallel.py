import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mamsf_keras.parallel import parallel_map

pytestmark = pytest.mark.no_keras

PROGRAM = """
import os, signal, sys, time

from mamsf_keras.parallel import parallel_map


def work(task):
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "fail":
        raise ValueError("the task failed")
    if task == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.02 * (5 - task) if isinstance(task, int) else 0)  # later tasks end sooner
    return task, os.getpid()


if __name__ == "__main__":
    tasks = eval(sys.argv[1])
    try:
        results = parallel_map(work, tasks, workers=2, on_result=lambda result: print("result", result[0]))
        print([task for task, _ in results], {os.getpid()}.isdisjoint(pid for _, pid in results))
    except (ChildProcessError, ValueError) as error:
        print(type(error).__name__, error)
"""
"""Workers are spawned, so the function must be in a file that they can import."""


def run(tmp_path, tasks):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), repr(tasks)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_results_come_in_the_order_of_the_tasks_from_other_processes(tmp_path):
    assert run(tmp_path, list(range(5))) == [*(f"result {task}" for task in range(5)), "[0, 1, 2, 3, 4] True"]


def test_one_worker_or_one_task_works_in_this_process():
    seen = []
    for tasks, workers in (([1, 2, 3], 1), ([4], 8), ([], None)):
        results = parallel_map(lambda task: (task, os.getpid()), tasks, workers, seen.append)
        assert results == [(task, os.getpid()) for task in tasks]
    assert [task for task, _ in seen] == [1, 2, 3, 4]


def test_results_are_reported_before_the_next_task_in_one_process():
    order = []
    parallel_map(lambda task: order.append(f"task {task}"), [1, 2], 1, lambda result: order.append("result"))
    assert order == ["task 1", "result", "task 2", "result"]


def test_dead_worker_raises_an_error_and_does_not_hang(tmp_path):
    [*_, last] = run(tmp_path, [1, "die", 2, 3])
    assert last.startswith("ChildProcessError A worker process died") and "`workers=1`" in last


def test_error_of_a_task_is_raised(tmp_path):
    assert run(tmp_path, [1, "fail", 2])[-1] == "ValueError the task failed"


def test_workers_ignore_ctrl_c_which_the_parent_handles(tmp_path):
    assert run(tmp_path, ["interrupt", 1, 2])[-1] == "['interrupt', 1, 2] True"


ORPHANS = """
import time

from mamsf_keras.parallel import parallel_map


def work(task):
    if task == 0:
        print("working", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    parallel_map(work, [0, 1, 2, 3], workers=2)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "program.py").write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "program.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "working\n"
    os.kill(process.pid, signal.SIGKILL)
    # The workers have inherited the pipe, which ends when the last of them does.
    assert process.communicate(timeout=60) == ("", None)


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the parent", "to the process group"])
def test_ctrl_c_ends_workers_in_the_middle_of_their_tasks(tmp_path, send):
    """The tasks take ten minutes. Ctrl-C in a terminal reaches the process group."""
    (tmp_path / "program.py").write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "program.py")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        command,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        **pipes,
    )
    assert process.stdout.readline() == "working\n"
    send(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # the workers have inherited the pipes
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1 and errors.endswith("KeyboardInterrupt\n")
