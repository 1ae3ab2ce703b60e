import json
from pathlib import Path

import numpy as np
import pytest

from mamsf_keras.export.parity import Reference, compare
from mamsf_keras.export.results import Exported, Limits, parity_table

pytestmark = pytest.mark.no_keras

LATENCY = {"1": {"median": 4.0, "p99": 5.0, "runs": 10}, "16": {"median": 40.0, "p99": 50.0, "runs": 10}}


def test_table_has_one_row_per_format_after_that_of_keras():
    logits = np.arange(4.0)[:, None]
    parity = compare(Reference(("A",), logits, logits * np.nan), {"logits": logits + 0.25}, Limits(1, 1))
    exported = Exported(Path("somewhere/m-1.tflite"), parity, 2_500_000, LATENCY)
    lines = parity_table({"tflite": exported}, {"size_bytes": 5_000_000, "latency_ms": LATENCY}).splitlines()
    assert [line.count("|") for line in lines] == [10] * 4
    assert lines[2].startswith("| Keras | 5.0 |") and lines[2].endswith("| 4.0 (5.0) | 40.0 (50.0) |")
    assert lines[3] == "| tflite | 2.5 | 0.25 | 0.25 | – | 4 to 4 | – | 4.0 (5.0) | 40.0 (50.0) |"
    content = exported.to_dict()
    assert content["file"] == "m-1.tflite" and content["largest"] == 0.25 and "somewhere" not in json.dumps(content)
