import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.dataset import Dataset
from mamsf_keras.evaluation.predictions import predictions_frame, write_predictions

pytestmark = pytest.mark.no_keras


def test_file_holds_nine_digits_and_blanks_for_missing_labels(tmp_path):
    table = pd.DataFrame({"image": ["a.png", "b.png"], "patient": ["1", "2"], "Mass": [1, 0], "Edema": [np.nan, 1]})
    dataset = Dataset(table, ("Mass", "Edema"), store=None, is_resolved=True)
    frame = predictions_frame(dataset, np.array([[0.123456789123, 0.5], [1e-7, 0.25]]))
    write_predictions(tmp_path / "p.csv", frame)
    assert (tmp_path / "p.csv").read_text() == (
        "image,patient,Mass,Edema,Mass_label,Edema_label\na.png,1,0.123456789,0.5,1,\nb.png,2,1e-07,0.25,0,1\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_nine_digits_tell_all_float32_numbers_apart(tmp_path):
    values = np.random.default_rng(0).random(1000).astype(np.float32)
    values[1::2] = np.nextafter(values[::2], np.float32(1))
    table = pd.DataFrame({"image": np.arange(1000).astype(str), "patient": "1", "A": 0})
    frame = predictions_frame(Dataset(table, ("A",), store=None), values[:, None].astype(np.float64))
    write_predictions(tmp_path / "p.csv", frame)
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "p.csv")["A"].to_numpy(np.float32), values)
