import numpy as np
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.folder import read_split
from mamsf_keras.data.preview import augmented
from mamsf_keras.data.stream import Stream, subset

pytestmark = pytest.mark.no_keras


def test_what_is_drawn_is_what_training_sees(small_nih):
    studies = read_split(DataConfig(small_nih))
    stream = Stream(subset(studies.table, "train"), studies.findings, 16, 4, augment="light", seed=3)
    for step in (0, stream.batches):
        row, number = stream.rows(step)[0], step // stream.batches
        expected = stream.batch(step)[0][0, :, :, 0]
        np.testing.assert_array_equal(augmented(stream, row, number), expected)


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_sheet_and_no_overwriting(small_nih, tmp_path, augment):
    out = tmp_path / "sheet.png"
    arguments = ["preview", "--data-dir", str(small_nih), "--out", str(out), "--augment", augment, "--image-size", "32"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    with Image.open(out) as sheet:
        assert sheet.format == "PNG" and sheet.width > 800
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "use --overwrite" in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["sheet.png"]
