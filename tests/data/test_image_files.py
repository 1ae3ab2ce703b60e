import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.image_files import ImageFiles
from mamsf_keras.data.open import open_dataset
from mamsf_keras.images.gray import read_gray
from mamsf_keras.images.pixel_hash import pixel_hash

pytestmark = pytest.mark.no_keras


def resolved(folder, **options):
    return open_dataset(DataConfig(folder, protocol=None, **options)).resolved


def test_missing_images_are_counted_and_can_be_left_out(small_nih):
    files = sorted(small_nih.rglob("*.png"))
    for path in files[:7]:
        path.unlink()
    names = ", ".join(path.name for path in files[:5])
    words = rf"7 of 80 images .* \(first: {names}\)\. Use `allow_missing` 7 to leave them out"
    with pytest.raises(ValueError, match=words):
        resolved(small_nih)
    for allowed in (True, "8%", 6):
        with pytest.raises(ValueError, match=r"`allow_missing` \d%? allows [46]\. Use `allow_missing` 7 to leave"):
            resolved(small_nih, allow_missing=allowed)
    dataset = resolved(small_nih, allow_missing=7)
    assert len(resolved(small_nih, allow_missing="10%").table) == 73
    assert dataset.table["image"].tolist() == [path.name for path in files[7:]]
    assert len(dataset.notes) == 1 and dataset.notes[0].endswith(f"(first: {names}). They are left out.")
    for path in files[7:]:
        path.unlink()
    with pytest.raises(ValueError, match="80 of 80 images .* None was found"):
        resolved(small_nih, allow_missing="100%")


def in_folder(images, data_dir):
    """Finds every image below a folder, whether or not its file exists."""
    return images.map(lambda name: str(data_dir / name)), ("a note",)


@pytest.fixture
def table(tmp_path):
    """Images of 4 x 6 pixels: b is a copy of a, d is larger, e is damaged."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "c.png"):
        Image.fromarray(rng.integers(0, 256, (4, 6), dtype=np.uint8)).save(tmp_path / name, compress_level=0)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / "d.png", compress_level=0)
    (tmp_path / "e.png").write_bytes(b"not an image")
    return pd.DataFrame({"image": [f"{name}.png" for name in "abcde"]})


def test_inspect_reads_sizes_and_the_hashes_of_pixels(table, tmp_path):
    with Image.open(tmp_path / "a.png") as image:
        image.save(tmp_path / "b.png", compress_level=9)  # other bytes
    facts, notes = ImageFiles(tmp_path, in_folder).inspect(table)
    assert facts[["height", "width"]].to_numpy()[:4].tolist() == [[4, 6], [4, 6], [4, 6], [8, 8]]
    hashes = [pixel_hash(read_gray(tmp_path / name)) for name in table["image"][:4]]
    assert facts["sha256"][:4].tolist() == hashes and hashes[0] == hashes[1] != hashes[2]
    assert facts.loc[4].isna().all()
    assert notes[:2] == ("a note", "images found: 5 of 5; not readable: 1")
    assert len(notes) == 3 and "e.png cannot be read as an image" in notes[2]


def test_inspect_counts_missing_images_and_raises_nothing(table, tmp_path):
    def find(images, data_dir):
        return in_folder(images, data_dir)[0].where(images != "a.png"), ()

    def explain(images, data_dir):
        return (f"look for {', '.join(images)}",)

    facts, notes = ImageFiles(tmp_path, find, explain=explain).inspect(table)
    assert facts.index.equals(table.index) and facts.loc[0].isna().all()
    assert notes[0] == "images found: 4 of 5; not readable: 1" and notes[-1] == "look for a.png"


def test_open_gives_the_pixels_of_a_row(table, tmp_path):
    store = ImageFiles(tmp_path, in_folder)
    rows, notes = store.resolve_paths(table)
    read = store.open(rows, 8)
    with Image.open(tmp_path / "d.png") as image:
        np.testing.assert_array_equal(read(3), np.asarray(image))
    with pytest.raises(ValueError, match="e.png cannot be read as an image"):
        read(4)
    assert store.image_size is None and notes == ("a note",)
