import shlex

import pytest

from tests.cli.checks import check_fails
from tests.runs import succeeded

pytestmark = pytest.mark.no_keras


def test_prints_what_is_in_the_cache_and_the_next_command(small_nih, tmp_path):
    cache = tmp_path / "the cache"
    text = succeeded("prepare", "--data-dir", small_nih, "--cache-dir", cache, "--image-size", 32)
    assert f"80 images of 32 x 32 pixels, 80.0 KiB, from the cache {cache}" in text
    words = shlex.split(text.partition("next: mamsf-keras ")[2])
    assert words == ["train", "--data-dir", str(cache), "--image-size", "32"]
    succeeded("prepare", "--data-dir", small_nih, "--cache-dir", cache, "--image-size", 32)
    check_fails(tmp_path, ["prepare", "--data-dir", cache, "--cache-dir", tmp_path / "c"], 1, "already a cache")


def test_images_with_equal_pixels_are_reported(small_nih, tmp_path):
    one, two = sorted(small_nih.rglob("*.png"))[::79]
    two.write_bytes(one.read_bytes())
    text = succeeded("prepare", "--data-dir", small_nih, "--cache-dir", tmp_path / "cache", "--image-size", 32)
    assert f"groups of images with equal pixels: 1 (first: {one.name} = {two.name})" in text


def test_data_folder_is_refused_as_a_cache_folder(small_nih, tmp_path):
    arguments = ["prepare", "--data-dir", small_nih, "--cache-dir", small_nih]
    check_fails(tmp_path, arguments, 1, "contains files that are not part of a cache")
