import errno
import os
import subprocess
import sys
import time

import psutil
import pytest

from mamsf_keras.export.publish import staging
from mamsf_keras.export.worker import size_of

pytestmark = pytest.mark.no_keras

EXPORT = """
import sys
from mamsf_keras.export.publish import staging
from mamsf_keras.export.task import REFERENCE, Task
with staging(sys.argv[1]) as folder:
    Task(REFERENCE, "", "", sys.argv[2], "", work=str(folder.work)).run()
"""


def open_for_writing(pipe, process):
    """Opens a named pipe as soon as another process reads from it."""
    while process.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO
            time.sleep(0.01)
    raise AssertionError("the parent has ended")


def test_worker_ends_with_its_killed_parent_and_the_next_export_removes_their_files(tmp_path):
    """The images are a named pipe without data, so the worker waits until it is stopped."""
    pipe, out = tmp_path / "images.npy", tmp_path / "toy"
    os.mkfifo(pipe)
    parent = subprocess.Popen([sys.executable, "-c", EXPORT, str(out), str(pipe)])
    writer = open_for_writing(pipe, parent)
    [worker] = psutil.Process(parent.pid).children()
    try:
        parent.kill()
        parent.wait()
        assert psutil.wait_procs([worker], timeout=60)[1] == []
        assert len(list(out.glob(".export-*/work/*/task.json"))) == 1
        with staging(out) as folder:
            assert list(out.glob(".export-*/")) == [folder.files.parent]
        assert [path.name for path in out.iterdir()] == [".lock"]
    finally:
        os.close(writer)
        for process in psutil.wait_procs([worker], timeout=0)[1]:
            process.kill()


def test_size_of_a_folder_equals_that_of_its_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(bytes(10))
    (tmp_path / "a" / "b" / "y").write_bytes(bytes(5))
    assert size_of(tmp_path / "a") == 15 and size_of(tmp_path / "a" / "x") == 10
