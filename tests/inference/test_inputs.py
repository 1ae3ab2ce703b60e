import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.inference.inputs import find_inputs, is_image
from tests.images.test_dicom_signature import bare_dicom

pytestmark = pytest.mark.no_keras


def image(path, kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, kind)
    return path


def test_files_in_the_order_given_and_folders_by_name_each_once(tmp_path):
    b, a, late = (image(tmp_path / name) for name in ("in/sub/b.png", "in/a.PNG", "late.jpg"))
    found = find_inputs([late, tmp_path / "in", str(b)])
    assert found.paths == [late, a, b] and not found.skipped and not found.unreadable


def test_repeated_file_keeps_its_first_place_and_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = image(Path("a.png")), image(Path("b.png"))
    assert find_inputs([a, b, a]).paths == [a, b]
    assert find_inputs([b, tmp_path]).paths == [b, tmp_path / "a.png"]
    assert find_inputs([tmp_path / "a.png", b, a, b]).paths == [tmp_path / "a.png", b]


def test_content_counts_and_the_suffix_only_where_it_claims_an_image(tmp_path):
    kept = [image(tmp_path / "in" / "no_suffix"), image(tmp_path / "in" / "x.dat", "JPEG")]
    kept.append(image(tmp_path / "in" / "x.unknown", "TIFF"))  # is named as unreadable, not passed over
    (tmp_path / "in" / "damaged.png").write_bytes(b"text")
    kept.append(tmp_path / "in" / "damaged.png")
    others = [tmp_path / "in" / name for name in ("DICOMDIR", "labels.csv", "notes.txt", "empty")]
    for path in others:
        path.write_bytes(b"" if path.name == "empty" else b"image,Mass\nBM,1\n" * 50)
    found = find_inputs([tmp_path / "in"])
    assert sorted(found.paths) == sorted(kept) and sorted(found.skipped) == sorted(others)


def test_dicom_without_preamble_or_suffix_is_found(tmp_path):
    assert is_image(bare_dicom(tmp_path / "IM0001"))


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "WebP"])
def test_image_of_another_format_is_not_skipped(tmp_path, kind):
    assert is_image(image(tmp_path / "x.dat", kind))


def test_missing_file_stays_in_the_list(tmp_path):
    assert find_inputs([tmp_path / "none.png"]).paths == [tmp_path / "none.png"]


def test_linked_folders_are_searched_once(tmp_path):
    path = image(tmp_path / "data" / "a.png")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "data")
    assert [os.path.realpath(found) for found in find_inputs([tmp_path / "in"]).paths] == [str(path)]


def test_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_inputs([tmp_path]).unreadable == [(tmp_path / "locked", "Permission denied")]
