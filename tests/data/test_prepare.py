import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import filelock
import numpy as np
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main
from PIL import Image

from mamsf_keras.config import DataConfig, TrainConfig
from mamsf_keras.data import prepare as making
from mamsf_keras.data.cache import read_cache
from mamsf_keras.data.describe import as_text, describe
from mamsf_keras.data.folder import read_run_data, read_split
from mamsf_keras.data.prepare import prepare
from mamsf_keras.data.stream import Stream
from tests.conftest import rewrite_table, simple_rows, write_nih
from tests.data.test_cache import contents

pytestmark = pytest.mark.no_keras

FINDINGS = ("Effusion", "Mass")


def test_unreadable_images_are_listed_refused_and_tried_again(small_nih, tmp_path):
    out = tmp_path / "cache"
    image = next(small_nih.rglob("00000003_001.png"))
    whole = image.read_bytes()
    image.write_bytes(whole[:40])
    with pytest.raises(ValueError, match=r"1 of 80 images cannot be read \(first: .*00000003_001.png"):
        prepare(DataConfig(small_nih), out, image_size=12, workers=1)
    assert "00000003_001.png" in (out / "rejected.csv").read_text() and not (out / "meta.json").exists()
    assert prepare(DataConfig(small_nih), out, image_size=12, workers=1, allow_rejected=1)["rejected"] == 1
    assert len(read_split(DataConfig(out)).table) == 79
    image.write_bytes(whole)
    assert prepare(DataConfig(small_nih), out, image_size=12, workers=1)["images"] == 80
    assert not (out / "rejected.csv").exists()
    prepare(DataConfig(small_nih), tmp_path / "undisturbed", image_size=12, workers=1)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_cache_of_something_else_is_refused(small_nih, tmp_path):
    out = tmp_path / "cache"
    prepare(DataConfig(small_nih), out, image_size=12, workers=1)
    before = contents(out)
    with pytest.raises(ValueError, match=r"made for something else: image_size \(12 there, 16 asked\)"):
        prepare(DataConfig(small_nih), out, image_size=16, workers=1)
    rewrite_table(small_nih, lambda rows: [rows[0], [rows[1][0], "Hernia", *rows[1][2:]], *rows[2:]])
    with pytest.raises(ValueError, match=r"table_sha256 .*images whose labels changed: 1 \(first: 00000001_000.png\)"):
        prepare(DataConfig(small_nih), out, image_size=12, workers=1)
    assert contents(out) == before
    before = contents(small_nih)
    with pytest.raises(ValueError, match="holds other things than a cache"):
        prepare(DataConfig(small_nih), small_nih, image_size=12, workers=1)
    assert contents(small_nih) == before and not (small_nih / "shards").exists()


def test_second_process_says_so(small_nih, tmp_path):
    (tmp_path / "cache").mkdir()
    with filelock.FileLock(tmp_path / "cache" / ".lock"):
        with pytest.raises(BlockingIOError, match="Another process is working on .*cache"):
            prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)


def test_a_run_says_how_to_leave_an_unreadable_image_out(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    config = TrainConfig(small_nih, image_size=32, cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match="1 of 80 images cannot be read") as error:
        read_run_data(config)
    with pytest.raises(ValueError, match="cache is not finished: run the same `mamsf-keras prepare` again"):
        read_split(DataConfig(tmp_path / "cache"))
    _, _, command = str(error.value).partition("leave them out of this cache: mamsf-keras ")
    result = CliRunner().invoke(main, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert len(read_run_data(config).table) == 79


def test_cache_made_anew_in_one_process_gives_its_own_pixels(small_nih, tmp_path):
    image = next(small_nih.rglob("00000001_000.png"))
    for grey in (10, 200):
        Image.fromarray(np.full((12, 12), grey, np.uint8)).save(image)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
        stream = Stream(read_split(DataConfig(tmp_path / "cache")).table, FINDINGS, 12, 4)
        assert (stream.read(0) == grey).all()


def test_changed_images_are_read_again(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    image = next(small_nih.rglob("00000003_001.png"))
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(image)
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    table = read_cache(tmp_path / "cache").table.set_index("image")
    place = table.loc["00000003_001.png"]
    assert (np.load(place["path"])[int(place["row"])] == 7).all()


def test_images_that_came_later_are_said(small_nih, tmp_path):
    image = next(small_nih.rglob("00000003_001.png"))
    content = image.read_bytes()
    image.unlink()
    prepare(DataConfig(small_nih, allow_missing=True), tmp_path / "cache", image_size=12, workers=1)
    image.write_bytes(content)
    with pytest.raises(ValueError, match=r"files \(79 there, 80 asked\)"):
        prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)


def test_disk_full_leaves_no_damaged_shard(small_nih, tmp_path):
    """A limit on the size of a file fails a write in its middle, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "cache" / "shards").iterdir()) == []
    prepare(DataConfig(small_nih), tmp_path / "undisturbed", image_size=12, workers=1)
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert contents(tmp_path / "cache") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("damage", [lambda shard: shard.unlink(), lambda shard: shard.write_bytes(b"short")])
def test_lost_shard_is_made_again(small_nih, tmp_path, damage):
    for cache in ("cache", "undisturbed"):
        prepare(DataConfig(small_nih), tmp_path / cache, image_size=12, workers=1)
    damage(tmp_path / "cache" / "shards" / "00000.npy")
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert contents(tmp_path / "cache") == contents(tmp_path / "undisturbed")


def test_spoilt_pixels_are_made_again(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    before = contents(tmp_path / "cache")
    with open(tmp_path / "cache" / "shards" / "00000.npy", "r+b") as file:
        file.seek(500)
        file.write(b"\0" * 50)
    assert contents(tmp_path / "cache") != before
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1, verify=True)
    assert contents(tmp_path / "cache") == before


def test_a_finished_cache_stays_finished_when_fewer_rejected_are_allowed(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1, allow_rejected=1)
    before = contents(tmp_path / "cache")
    with pytest.raises(ValueError, match="1 of 80 images cannot be read"):
        prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert contents(tmp_path / "cache") == before


def test_an_image_mended_to_the_same_length_is_tried_again(small_nih, tmp_path):
    path = next(small_nih.rglob("00000003_001.png"))
    good = path.read_bytes()
    path.write_bytes(b"x" * len(good))
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1, allow_rejected=1)
    path.write_bytes(good)
    assert prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)["rejected"] == 0


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_lost_list_of_rejected_images_is_made_again(small_nih, tmp_path, damage):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1, allow_rejected=1)
    before = contents(tmp_path / "cache")
    damage(tmp_path / "cache" / "rejected.csv")
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1, allow_rejected=1)
    assert contents(tmp_path / "cache") == before


def test_lost_plan_does_not_let_other_labels_through(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    before = contents(tmp_path / "cache")
    (tmp_path / "cache" / "plan.json").unlink()
    assert len(read_split(DataConfig(tmp_path / "cache")).table) == 80
    table = small_nih / "Data_Entry_2017.csv"
    text = table.read_text()
    table.write_text(text.replace("No Finding", "Mass", 1))
    with pytest.raises(ValueError, match="images whose labels changed: 1"):
        prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    table.write_text(text)
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert contents(tmp_path / "cache") == before


def test_a_cut_record_is_made_again(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    before = contents(tmp_path / "cache")
    record = tmp_path / "cache" / "shards" / "00000.csv"
    record.write_bytes(record.read_bytes()[:-20])
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert contents(tmp_path / "cache") == before


def test_missing_images_are_counted_in_its_notes(small_nih, tmp_path):
    path = next(small_nih.rglob("00000003_001.png"))
    path.unlink()
    path.symlink_to("nowhere.png")  # as git-annex leaves them
    meta = prepare(DataConfig(small_nih, allow_missing=True), tmp_path / "cache", image_size=12, workers=1)
    assert meta["images"] == 79 and any("1 of 80 images of the table are not in" in note for note in meta["notes"])
    assert "images found: 79 of 80" in as_text(describe(DataConfig(small_nih)))


def test_too_small_a_disk_is_said_beforehand(small_nih, tmp_path, monkeypatch):
    monkeypatch.setattr(making.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"needs 0.0 GiB, and 0.0 GiB are free"):
        prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert list((tmp_path / "cache" / "shards").iterdir()) == []


def test_killed_at_random_moments_it_ends_in_the_same_bytes(tmp_path):
    data = write_nih(tmp_path / "nih", simple_rows(patients=2500), size=16, test_from=1800)
    noise = np.random.default_rng(0).integers(0, 256, (500, 500), dtype=np.uint8)
    for path in sorted(data.rglob("*.png"))[::2]:  # long enough to decode that a kill hits the work
        Image.fromarray(noise).save(path, compress_level=1)
    start = time.perf_counter()
    prepare(DataConfig(data), tmp_path / "undisturbed", image_size=64)
    seconds = time.perf_counter() - start
    out = tmp_path / "cache"
    command = [sys.executable, "-c", "import sys; from mamsf_keras.cli import main; main(sys.argv[1:])"]
    command += ["prepare", "--data-dir", data, "--cache-dir", out, "--image-size", "64"]
    random.seed(0)
    hits = 0
    for _ in range(10):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.5, 1 + seconds / 4))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        hits += out.exists() and not (out / "meta.json").exists()
    assert hits >= 3
    subprocess.run(command, check=True, capture_output=True)
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_a_parent_that_is_killed_alone(tmp_path):
    data = write_nih(tmp_path / "nih", simple_rows(patients=1100), size=100, test_from=800)
    command = [sys.executable, "-c", "import sys; from mamsf_keras.cli import main; main(sys.argv[1:])", "prepare"]
    command += ["--data-dir", data, "--cache-dir", tmp_path / "cache", "--image-size", "32", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert wait_for(lambda: any((tmp_path / "cache").rglob("*.npy")))
    workers = children(process.pid, "spawn_main")
    process.kill()
    process.wait()
    assert len(workers) == 2
    assert wait_for(lambda: not any(command_line(worker) for worker in workers))
    subprocess.run(command, check=True, capture_output=True)
    prepare(DataConfig(data), tmp_path / "undisturbed", image_size=32)
    assert contents(tmp_path / "cache") == contents(tmp_path / "undisturbed")


def children(parent, word):
    """Lists the child processes whose command line has a word."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in pids if word in command_line(pid)]


def command_line(pid):
    """Reads the command line of a process; that of an ended one is empty, also where nobody waits for it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def test_command(small_nih, tmp_path):
    out = tmp_path / "cache"
    arguments = ["prepare", "--data-dir", str(small_nih), "--cache-dir", str(out), "--image-size", "32"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0 and "80 images, 0 rejected" in result.stdout, result.output
    assert json.loads((out / "meta.json").read_text())["image_size"] == 32
    assert Path(out / "index.csv").read_text().count("\n") == 81
