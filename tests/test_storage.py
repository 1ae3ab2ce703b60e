import hashlib
import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from mamsf_keras.storage import TEMPORARY_PREFIX, atomic_write, checksum, exclusive_lock, write_csv, write_json

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
def test_error_of_the_work_in_the_block_is_not_blamed_on_the_file(tmp_path, error):
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
        with pytest.raises(BlockingIOError, match=f"Another process is working on {tmp_path}: wait for it, or stop it"):
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
