import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.cache.layout import read_meta
from mamsf_keras.data.cache.prepare import UnreadableImages, prepare
from mamsf_keras.data.open import open_dataset
from tests.toys import contents, rewrite_table, simple_rows, write_nih

pytestmark = pytest.mark.no_keras


def make(folder, cache_dir, image_size=12, **options):
    """Prepares a folder in this process and returns `meta.json`."""
    prepare(open_dataset(folder), cache_dir, image_size, workers=1, **options)
    return read_meta(cache_dir)


def test_cached_data_set_is_split_as_the_originals(small_nih, tmp_path):
    dataset = open_dataset(DataConfig(small_nih, protocol="random-patient"))
    cached = prepare(dataset, tmp_path / "cache", 12, workers=1)
    assert cached.table["split"].tolist() == dataset.table["split"].tolist()
    assert (cached.protocol, cached.image_size, cached.findings) == ("random-patient", 12, dataset.findings)
    unsplit = prepare(open_dataset(DataConfig(small_nih, protocol=None)), tmp_path / "cache", 12)
    assert "split" not in unsplit.table and unsplit.protocol is None
    with pytest.raises(ValueError, match="The data are already a cache"):
        prepare(cached, tmp_path / "other", 12)


def test_unreadable_images_are_listed_refused_and_tried_again(small_nih, tmp_path):
    out = tmp_path / "cache"
    image = next(small_nih.rglob("00000003_001.png"))
    whole = image.read_bytes()
    image.write_bytes(whole[:40])
    with pytest.raises(UnreadableImages, match=r"1 of 80 images cannot be read \(first: .*00000003_001.png") as error:
        make(small_nih, out)
    assert (error.value.count, error.value.cache_dir, error.value.image_size) == (1, out, 12)
    assert "00000003_001.png" in (out / "rejected.csv").read_text() and not (out / "meta.json").exists()
    assert make(small_nih, out, allow_rejected=1)["rejected"] == 1
    assert len(open_dataset(out).resolved.table) == 79
    image.write_bytes(whole)
    assert make(small_nih, out)["images"] == 80
    assert not (out / "rejected.csv").exists()
    make(small_nih, tmp_path / "uninterrupted")
    assert contents(out) == contents(tmp_path / "uninterrupted")


def test_finished_cache_is_shared_and_not_written_again(small_nih, tmp_path):
    meta = make(small_nih, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    with filelock.FileLock(tmp_path / "cache" / ".lock"):
        assert make(small_nih, tmp_path / "cache") == meta
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.name != ".lock"}
    assert after == {path: time for path, time in before.items() if path.name != ".lock"}


def test_table_with_other_line_ends_is_accepted(small_nih, tmp_path):
    meta = make(small_nih, tmp_path / "cache")
    table = small_nih / "Data_Entry_2017.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    assert make(small_nih, tmp_path / "cache") == meta


def test_cache_with_other_settings_is_refused(small_nih, tmp_path):
    out = tmp_path / "cache"
    make(small_nih, out)
    before = contents(out)
    with pytest.raises(ValueError, match=r"made with other settings: image_size \(existing: 12, requested: 16\)"):
        make(small_nih, out, image_size=16)
    rewrite_table(small_nih, lambda rows: [rows[0], [rows[1][0], "Hernia", *rows[1][2:]], *rows[2:]])
    with pytest.raises(ValueError, match=r"table_sha256 .*images whose labels changed: 1 \(first: 00000001_000.png\)"):
        make(small_nih, out)
    assert contents(out) == before
    before = contents(small_nih)
    with pytest.raises(ValueError, match="contains files that are not part of a cache"):
        make(small_nih, small_nih)
    assert contents(small_nih) == before and not (small_nih / "shards").exists()


COMMAND = [sys.executable, "-c", "from mamsf_keras.cli import main; main()", "prepare", "--image-size", "32"]


def start(small_nih, cache):
    """Starts `mamsf-keras prepare` in another process."""
    command = [*COMMAND, "--data-dir", str(small_nih), "--cache-dir", str(cache), "--quiet"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "given up"])
def test_second_process_waits_and_uses_the_cache_or_makes_it(small_nih, tmp_path, finished):
    cache, whole = tmp_path / "cache", tmp_path / "whole"
    make(small_nih, whole, 32)
    cache.mkdir()
    with filelock.FileLock(cache / ".lock"):
        process = start(small_nih, cache)
        assert process.stderr.readline() == f"waiting for another process that is working on {cache}\n"
        if finished:
            shutil.copytree(whole, cache, dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file() and path.name != ".lock"}
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    assert len(before) == (5 if finished else 0)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert contents(cache) == contents(whole)


def test_processes_that_start_together_make_one_cache(small_nih, tmp_path):
    processes = [start(small_nih, tmp_path / "cache") for _ in range(3)]
    for process in processes:
        assert "Error" not in process.communicate(timeout=60)[1] and process.returncode == 0
    make(small_nih, tmp_path / "whole", 32)
    assert contents(tmp_path / "cache") == contents(tmp_path / "whole")


def test_cache_made_again_in_the_same_process_has_the_new_pixels(small_nih, tmp_path):
    image = next(small_nih.rglob("00000001_000.png"))
    for gray in (10, 200):
        Image.fromarray(np.full((12, 12), gray, np.uint8)).save(image)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        make(small_nih, tmp_path / "cache")
        assert (open_dataset(tmp_path / "cache").resolved.open_images(12)(0) == gray).all()


def test_changed_images_are_read_again(small_nih, tmp_path):
    make(small_nih, tmp_path / "cache")
    image = next(small_nih.rglob("00000003_001.png"))
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(image)
    make(small_nih, tmp_path / "cache")
    dataset = open_dataset(tmp_path / "cache").resolved
    row = dataset.table["image"].tolist().index("00000003_001.png")
    assert (dataset.open_images(12)(row) == 7).all()


def test_images_that_appeared_later_need_another_cache(small_nih, tmp_path):
    image = next(small_nih.rglob("00000003_001.png"))
    content = image.read_bytes()
    image.unlink()
    make(DataConfig(small_nih, allow_missing=True), tmp_path / "cache")
    image.write_bytes(content)
    with pytest.raises(ValueError, match=r"files \(existing: 79, requested: 80\)"):
        make(small_nih, tmp_path / "cache")


def test_missing_images_are_counted_in_the_notes(small_nih, tmp_path):
    path = next(small_nih.rglob("00000003_001.png"))
    path.unlink()
    path.symlink_to("nowhere.png")  # as git-annex leaves them
    meta = make(DataConfig(small_nih, allow_missing=True), tmp_path / "cache")
    assert meta["images"] == 79 and any("1 of 80 images of the table are not in" in note for note in meta["notes"])


def test_full_disk_leaves_no_damaged_shard(small_nih, tmp_path):
    """A limit on the size of a file makes a write fail halfway, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            make(small_nih, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "cache" / "shards").iterdir()) == []
    make(small_nih, tmp_path / "uninterrupted")
    make(small_nih, tmp_path / "cache")
    assert contents(tmp_path / "cache") == contents(tmp_path / "uninterrupted")


def test_insufficient_disk_space_is_refused_before_any_work(small_nih, tmp_path):
    with pytest.raises(
        OSError, match=r"needs 7276.0 TiB, but only [\d.]+ [GT]iB are available"
    ):  # 80 images, 10^14 bytes each
        make(small_nih, tmp_path / "cache", image_size=10_000_000)
    assert list((tmp_path / "cache" / "shards").iterdir()) == []
    assert not (tmp_path / "cache" / "plan.json").exists()


@pytest.mark.parametrize("damage", [lambda shard: shard.unlink(), lambda shard: shard.write_bytes(b"short")])
def test_missing_shard_is_rebuilt(small_nih, tmp_path, damage):
    for cache in ("cache", "uninterrupted"):
        make(small_nih, tmp_path / cache)
    damage(tmp_path / "cache" / "shards" / "00000.npy")
    make(small_nih, tmp_path / "cache")
    assert contents(tmp_path / "cache") == contents(tmp_path / "uninterrupted")


def test_verify_rebuilds_a_shard_with_wrong_pixels(small_nih, tmp_path):
    make(small_nih, tmp_path / "cache")
    before = contents(tmp_path / "cache")
    with open(tmp_path / "cache" / "shards" / "00000.npy", "r+b") as file:
        file.seek(500)
        file.write(b"\0" * 50)
    assert contents(tmp_path / "cache") != before
    make(small_nih, tmp_path / "cache", verify=True)
    assert contents(tmp_path / "cache") == before


def test_finished_cache_stays_finished_when_fewer_rejected_images_are_allowed(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    make(small_nih, tmp_path / "cache", allow_rejected=1)
    before = contents(tmp_path / "cache")
    with pytest.raises(UnreadableImages, match="1 of 80 images cannot be read"):
        make(small_nih, tmp_path / "cache")
    assert contents(tmp_path / "cache") == before
    assert make(small_nih, tmp_path / "cache", allow_rejected=None)["rejected"] == 1


def test_image_repaired_to_the_same_length_is_tried_again(small_nih, tmp_path):
    path = next(small_nih.rglob("00000003_001.png"))
    good = path.read_bytes()
    path.write_bytes(b"x" * len(good))
    make(small_nih, tmp_path / "cache", allow_rejected=1)
    path.write_bytes(good)
    assert make(small_nih, tmp_path / "cache")["rejected"] == 0


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_missing_list_of_rejected_images_is_rebuilt(small_nih, tmp_path, damage):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    make(small_nih, tmp_path / "cache", allow_rejected=1)
    before = contents(tmp_path / "cache")
    damage(tmp_path / "cache" / "rejected.csv")
    make(small_nih, tmp_path / "cache", allow_rejected=1)
    assert contents(tmp_path / "cache") == before


def test_missing_plan_does_not_accept_other_labels(small_nih, tmp_path):
    make(small_nih, tmp_path / "cache")
    before = contents(tmp_path / "cache")
    (tmp_path / "cache" / "plan.json").unlink()
    assert len(open_dataset(tmp_path / "cache").resolved.table) == 80
    table = small_nih / "Data_Entry_2017.csv"
    text = table.read_text()
    table.write_text(text.replace("No Finding", "Mass", 1))
    with pytest.raises(ValueError, match="images whose labels changed: 1"):
        make(small_nih, tmp_path / "cache")
    table.write_text(text)
    make(small_nih, tmp_path / "cache")
    assert contents(tmp_path / "cache") == before


def test_truncated_record_is_rebuilt(small_nih, tmp_path):
    make(small_nih, tmp_path / "cache")
    before = contents(tmp_path / "cache")
    record = tmp_path / "cache" / "shards" / "00000.csv"
    record.write_bytes(record.read_bytes()[:-20])
    make(small_nih, tmp_path / "cache")
    assert contents(tmp_path / "cache") == before


@pytest.mark.parametrize("name", ["meta.json", "plan.json"])
def test_truncated_json_is_named_with_a_fix(small_nih, tmp_path, name):
    make(small_nih, tmp_path / "cache")
    path = tmp_path / "cache" / name
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=f"{name} is damaged. Remove .* run `mamsf-keras prepare` again"):
        make(small_nih, tmp_path / "cache")


KILLED = """
import os, signal, sys

from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset

data_dir, cache_dir, files = sys.argv[1], sys.argv[2], int(sys.argv[3])


def kill(event, arguments):
    global files
    if event == "os.rename" and str(arguments[1]).startswith(cache_dir):
        files -= 1
        if files < 0:
            os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(kill)
prepare(open_dataset(data_dir), cache_dir, 12, workers=1, shard_images=16)
"""
"""A program that prepares a cache and kills itself when it has put a number of files into it."""


def test_preparation_killed_between_two_files_gives_the_same_bytes(small_nih, tmp_path):
    """The first and second run end between a shard and its record, the third before `meta.json`."""
    make(small_nih, tmp_path / "uninterrupted", shard_images=16)
    out, whole = tmp_path / "cache", contents(tmp_path / "uninterrupted")
    finished = 0
    for files in (2, 5, 7):
        command = [sys.executable, "-c", KILLED, str(small_nih), str(out), str(files)]
        assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
        left = contents(out)
        assert finished < sum(name in whole for name in left) < len(whole) and "meta.json" not in left
        finished = sum(name in whole for name in left)
    make(small_nih, out, shard_images=16)
    assert contents(out) == whole


PREPARE = """
import sys

from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset

prepare(open_dataset(sys.argv[1]), sys.argv[2], int(sys.argv[3]), workers=int(sys.argv[4]))
"""


@pytest.mark.slow
def test_preparation_killed_at_random_moments_gives_the_same_bytes(tmp_path):
    data = write_nih(tmp_path / "nih", simple_rows(patients=2500), size=16, test_from=1800)
    noise = np.random.default_rng(0).integers(0, 256, (500, 500), dtype=np.uint8)
    for path in sorted(data.rglob("*.png"))[::2]:  # long enough to decode that a kill hits the work
        Image.fromarray(noise).save(path, compress_level=1)
    start = time.perf_counter()
    prepare(open_dataset(data), tmp_path / "uninterrupted", image_size=64)
    seconds = time.perf_counter() - start
    out = tmp_path / "cache"
    command = [sys.executable, "-c", PREPARE, str(data), str(out), "64", str(os.cpu_count())]
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
    assert contents(out) == contents(tmp_path / "uninterrupted")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_if_only_their_parent_is_killed(tmp_path):
    data = write_nih(tmp_path / "nih", simple_rows(patients=1100), size=100, test_from=800)
    command = [sys.executable, "-c", PREPARE, str(data), str(tmp_path / "cache"), "32", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert wait_for(lambda: any((tmp_path / "cache").rglob("*.npy")))
    workers = children(process.pid, "spawn_main")
    process.kill()
    process.wait()
    assert len(workers) == 2
    assert wait_for(lambda: not any(command_line(worker) for worker in workers))
    subprocess.run(command, check=True, capture_output=True)
    prepare(open_dataset(data), tmp_path / "uninterrupted", image_size=32)
    assert contents(tmp_path / "cache") == contents(tmp_path / "uninterrupted")


def children(parent, word):
    """Lists the child processes whose command line has a word."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in pids if word in command_line(pid)]


def command_line(pid):
    """Reads the command line of a process; it is empty for one that has ended, even if nobody waits for it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def test_verification_keeps_a_shard_that_another_process_made_again(small_nih, tmp_path):
    cache = tmp_path / "cache"
    make(small_nih, cache, 32)
    shard = cache / "shards" / "00000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with filelock.FileLock(cache / ".lock"):
        process = start(small_nih, cache)
        assert process.stderr.readline() == f"waiting for another process that is working on {cache}\n"
        shard.write_bytes(whole)
        before = shard.stat().st_mtime_ns
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    assert shard.stat().st_mtime_ns == before and shard.read_bytes() == whole


def test_original_edited_in_place_is_decoded_again(small_nih, tmp_path):
    """The file has the same size before and after, as a DICOM file whose MONOCHROME2 becomes MONOCHROME1."""
    image = next(small_nih.rglob("00000003_001.png"))
    Image.fromarray(np.full((12, 12), 7, np.uint8)).save(image, compress_level=0)
    size = image.stat().st_size
    make(small_nih, tmp_path / "cache")
    Image.fromarray(np.full((12, 12), 9, np.uint8)).save(image, compress_level=0)
    assert image.stat().st_size == size
    for options in ({}, {"allow_rejected": None}, {"verify": True}):
        make(small_nih, tmp_path / "cache", **options)
        dataset = open_dataset(tmp_path / "cache").resolved
        row = dataset.table["image"].tolist().index("00000003_001.png")
        assert (dataset.open_images(12)(row) == 9).all()


def test_touched_originals_are_compared_once_and_not_decoded(small_nih, tmp_path):
    make(small_nih, tmp_path / "cache")
    shard, meta = tmp_path / "cache" / "shards" / "00000.npy", tmp_path / "cache" / "meta.json"
    before = [path.stat().st_mtime_ns for path in (shard, meta)]
    for path in small_nih.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    make(small_nih, tmp_path / "cache")
    with filelock.FileLock(tmp_path / "cache" / ".lock"):  # nothing is left to write
        make(small_nih, tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in (shard, meta)] == before


def test_transient_failure_of_an_allowed_image_is_not_permanent(small_nih, tmp_path):
    """The content, size and modification time are the same before, during and after the failure."""
    image, cache = next(small_nih.rglob("00000003_001.png")), tmp_path / "cache"
    aside = image.rename(tmp_path / "aside.png")
    image.symlink_to(image.name)  # a loop: the system cannot look it up
    assert make(small_nih, cache, allow_rejected="2%")["rejected"] == 1
    assert "00000003_001.png" in (cache / "rejected.csv").read_text()
    with filelock.FileLock(cache / ".lock"):
        assert make(small_nih, cache, allow_rejected=None)["rejected"] == 1
    aside.replace(image)
    assert make(small_nih, cache, allow_rejected=None)["rejected"] == 0
    assert len(open_dataset(cache).resolved.table) == 80 and not (cache / "rejected.csv").exists()


def test_images_that_cannot_be_accessed_are_listed(small_nih, tmp_path):
    """A file of a label table vanishes during the work, a loop of links is there from the start."""
    names = [str(path.relative_to(small_nih)) for path in sorted(small_nih.rglob("*.png"))]
    (small_nih / "labels.csv").write_text("path,patient,Mass\n" + "".join(f"{n},{i},1\n" for i, n in enumerate(names)))
    (small_nih / names[3]).unlink()
    (small_nih / names[3]).symlink_to(Path(names[3]).name)
    dataset = open_dataset(DataConfig(small_nih, labels_csv=small_nih / "labels.csv", protocol=None)).resolved
    assert len(dataset.table) == 80
    (small_nih / names[5]).unlink()
    with pytest.raises(UnreadableImages, match="2 of 80 images cannot be read"):
        prepare(dataset, tmp_path / "cache", 12, workers=1)
    listed = (tmp_path / "cache" / "rejected.csv").read_text()
    assert names[3] in listed and names[5] in listed


def test_images_that_cannot_be_read_at_all_are_never_allowed(small_nih, tmp_path):
    for path in small_nih.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UnreadableImages, match=r"80 of 80 images cannot be read .* Repair them and run again\.$"):
        make(small_nih, tmp_path / "cache", allow_rejected="100%")


def test_missing_images_are_counted_before_the_work(small_nih, tmp_path, caplog):
    for path in sorted(small_nih.rglob("*.png"))[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="79 of 80 .* `allow_missing` 5% allows 4. Use `allow_missing` 79"):
        make(DataConfig(small_nih, allow_missing=True), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with caplog.at_level("INFO"):
        make(DataConfig(small_nih, allow_missing=79), tmp_path / "cache")
    assert "79 of 80 images of the table are not in" in caplog.messages[0]


def test_leftovers_of_a_killed_process_are_removed(small_nih, tmp_path):
    make(small_nih, tmp_path / "whole")
    (tmp_path / "cache" / "shards").mkdir(parents=True)
    for name in (".part-meta.json", "shards/.part-00000.npy", "shards/.part-00007.npy"):
        (tmp_path / "cache" / name).write_bytes(b"half")
    make(small_nih, tmp_path / "cache")
    assert contents(tmp_path / "cache") == contents(tmp_path / "whole")
