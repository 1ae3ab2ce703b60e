import numpy as np
import pandas as pd

from mamsf_keras.evaluation.predictions import predictions_frame, write_predictions


def test_file_holds_nine_digits_and_blank_for_missing_labels(tmp_path):
    table = pd.DataFrame({"image": ["a.png", "b.png"], "patient": ["1", "2"], "Mass": [1, 0], "Edema": [np.nan, 1]})
    frame = predictions_frame(table, ("Mass", "Edema"), np.array([[0.123456789123, 0.5], [1e-7, 0.25]]))
    write_predictions(tmp_path / "p.csv", frame)
    assert (tmp_path / "p.csv").read_text() == (
        "image,patient,Mass,Edema,Mass_label,Edema_label\na.png,1,0.123456789,0.5,1,\nb.png,2,1e-07,0.25,0,1\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
