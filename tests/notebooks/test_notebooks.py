from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_to_the_end(path, tmp_path, monkeypatch):
    for name, value in {"IMAGES": 400, "SIZE": 32, "EPOCHS": 6}.items():  # fewer: all images get the same prediction
        monkeypatch.setenv(f"MAMSF_NOTEBOOK_{name}", str(value))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "mean " in printed and "logits differ by at most" in printed
    assert (tmp_path / "saved_models" / "mamsf" / "1" / "saved_model.pb").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_keeps_no_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
