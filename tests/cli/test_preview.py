import pytest
from PIL import Image

from tests.cli.checks import check_fails
from tests.runs import succeeded

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_sheet_is_written_once(small_nih, tmp_path, augment):
    out = tmp_path / "sheet.png"
    arguments = ["preview", "--data-dir", small_nih, "--out", out, "--augment", augment, "--image-size", 32]
    assert f"written: {out}" in succeeded(*arguments)
    with Image.open(out) as sheet:
        assert sheet.format == "PNG" and sheet.width > 800
    check_fails(tmp_path, arguments, 1, "use --overwrite")
    succeeded(*arguments, "--overwrite", "--images", 1, "--versions", 1)
    with Image.open(out) as sheet:
        assert sheet.width < 800
