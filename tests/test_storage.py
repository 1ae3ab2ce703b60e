import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

from mamsf_keras.storage import (
    TEMPORARY_PREFIX,
    atomic_write,
    checksum,
    exclusive_lock,
    format_bytes,
    may_be_file,
    read_json,
    remove_unfinished,
    scratch_folder,
    write_csv,
    write_json,
)

pytestmark = pytest.mark.no_keras


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt" and temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.parent == tmp_path and path.read_text() == "old"
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_error_of_the_system_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"a\.txt cannot be written: .*No space left on device"):
        with atomic_write(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")
    with pytest.raises(FileNotFoundError, match="none"), atomic_write(tmp_path / "none" / "a.txt") as temporary:
        temporary.write_text("x")


@pytest.mark.parametrize("error", [ConnectionError("server gone"), ConnectionResetError(104, "reset"), OSError("odd")])
def test_other_errors_in_the_block_do_not_name_the_file(tmp_path, error):
    with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "a.txt"):
        raise error
    assert caught.value is error


HOLD = """
import sys, time
from mamsf_keras.storage import exclusive_lock
with exclusive_lock(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_lock_is_held_by_one_process_and_released_by_its_death(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(
            BlockingIOError, match=f"Another process is working on {tmp_path}. Wait for it to finish, or stop it"
        ):
            with exclusive_lock(tmp_path):
                pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with exclusive_lock(tmp_path):
        pass
    with exclusive_lock(tmp_path):  # and released by the end of the block
        pass


def test_json_is_strict_and_read_back(tmp_path):
    content = {"a": [1, 0.1, None], "ü": "é"}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content and text.endswith("}\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == content
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_csv_has_no_index_and_unix_line_ends(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"a": [1, 2], "b": [0.25, None]}), na_rep="none")
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n1,0.25\n2,none\n"


def test_checksum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert checksum(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "b").write_bytes(bytes(3_000_000))
    assert checksum(tmp_path / "b") == hashlib.sha256(bytes(3_000_000)).hexdigest()
    assert checksum(tmp_path / "none") is None


def test_bytes_are_never_rounded_to_zero():
    sizes = [0, 80, 1023, 1024, 11_520, 2**20, 112_120 * 224**2, 3 * 2**50]
    expected = ["0 bytes", "80 bytes", "1023 bytes", "1.0 KiB", "11.2 KiB", "1.0 MiB", "5.2 GiB", "3072.0 TiB"]
    assert [format_bytes(size) for size in sizes] == expected


WRITE = """
import sys, time
from mamsf_keras.storage import scratch_folder
with scratch_folder(sys.argv[1], ".export-") as folder:
    (folder / "a.txt").write_text("half")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_scratch_folder_is_removed_at_the_end_and_after_a_kill_but_not_while_its_process_lives(tmp_path):
    for name in (".export-mine", ".export-12345678"):
        (tmp_path / name).mkdir()
    (tmp_path / ".export-mine.lock").touch()
    others = sorted(tmp_path.iterdir())
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        killed, alive = (Path(process.stdout.readline().strip()) for process in processes)
        processes[0].kill()
        processes[0].wait()
        assert (killed / "a.txt").exists()
        with scratch_folder(tmp_path, ".export-") as folder:
            assert folder.parent == tmp_path and folder.is_dir()
            assert not killed.exists() and (alive / "a.txt").exists()
        with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path, ".export-") as folder:
            raise KeyboardInterrupt
        assert not folder.exists() and (alive / "a.txt").exists()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    with scratch_folder(tmp_path, ".export-"):
        pass
    assert sorted(tmp_path.iterdir()) == others  # folders and locks that are not of this function


def test_waiting_is_logged_and_ends_when_the_lock_holder_dies(tmp_path, caplog):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    threading.Timer(0.3, process.kill).start()
    with exclusive_lock(tmp_path, wait=True):
        assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert [record.message for record in caplog.records] == [
        f"waiting for another process that is working on {tmp_path}"
    ]


def test_unfinished_files_are_removed(tmp_path):
    for name in (f"{TEMPORARY_PREFIX}a.npy", "a.npy"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_may_be_file_is_false_only_for_paths_known_not_to_be_files(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("none")
    assert may_be_file(tmp_path / "file") and may_be_file(tmp_path / "loop") and may_be_file(tmp_path / ("x" * 300))
    for name in (".", "none", "dangling", "file/below", "nu\0ll"):
        assert not may_be_file(f"{tmp_path}/{name}")


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_json_file_without_an_object_is_damaged(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match="a.json is damaged. Write it again."):
        read_json(tmp_path / "a.json", "Write it again.")
