import pandas as pd
import pytest

from mamsf_keras.data.image_paths import explain_path, find_by_path

pytestmark = pytest.mark.no_keras

IMAGES = pd.Series([f"CheXpert-v1.0/{split}/patient0000{i}/a.jpg" for i, split in ((1, "train"), (2, "valid"))])


def write(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def small(names):
    return names.str.replace("v1.0", "v1.0-small")


def test_images_below_the_data_folder_need_no_note(tmp_path):
    write(tmp_path, [*IMAGES, *small(IMAGES)])
    paths, notes = find_by_path(pd.concat([IMAGES, pd.Series(["none.jpg"])], ignore_index=True), tmp_path)
    assert paths[:2].tolist() == [str(tmp_path / name) for name in IMAGES] and paths[2:].isna().all() and notes == ()


@pytest.mark.parametrize("below", ["", "CheXpert-v1.0-small"])
def test_another_root_that_fits_all_rows_is_used_and_noted(tmp_path, below):
    """The data folder contains the folder of the other release, or is that folder."""
    write(tmp_path, small(IMAGES))
    paths, notes = find_by_path(IMAGES, tmp_path / below)
    assert paths.tolist() == [str(tmp_path / name) for name in small(IMAGES)]
    assert notes == (
        f"image paths in the table are not relative to the data folder: {IMAGES[0]} is {tmp_path / small(IMAGES)[0]}",
    )


def test_paths_without_the_folder_of_the_images(tmp_path):
    write(tmp_path, IMAGES)
    paths, notes = find_by_path(IMAGES.str.removeprefix("CheXpert-v1.0/"), tmp_path)
    assert paths.tolist() == [str(tmp_path / name) for name in IMAGES] and len(notes) == 1


def test_root_that_does_not_fit_all_rows_or_is_not_the_only_one_is_not_used(tmp_path):
    write(tmp_path, small(IMAGES)[:1])
    assert find_by_path(IMAGES, tmp_path)[0].isna().all()
    write(tmp_path, [*small(IMAGES), *(f"other/{name}" for name in IMAGES)])
    paths, notes = find_by_path(IMAGES, tmp_path)
    assert paths.isna().all() and notes == ()
    assert explain_path(IMAGES, tmp_path) == (
        "The image paths in the table must be relative to `data_dir`.",
        f"The table contains {IMAGES[0]}; the folder contains CheXpert-v1.0-small, other.",
    )


def test_another_root_never_leaves_the_data_folder(tmp_path):
    write(tmp_path, ["x/y.jpg", "data/z.jpg"])
    paths, _ = find_by_path(pd.Series([f"a/{tmp_path}/x/y.jpg"]), tmp_path / "data")
    assert paths.isna().all()
