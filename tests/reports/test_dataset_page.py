import re

import pytest

from mamsf_keras.config import DataConfig
from mamsf_keras.reports.dataset import describe
from mamsf_keras.reports.dataset_page import write_dataset_page

pytestmark = pytest.mark.no_keras


def test_page_contains_every_table_and_plot_and_loads_no_resources(small_nih, tmp_path):
    out = tmp_path / "page.html"
    description = describe(DataConfig(small_nih))
    write_dataset_page(description, "A <small> set", out)
    page = out.read_text()
    assert page.count("<h2>") == 7 and page.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)=.(?!data:)", page)
    assert "<h1>A &lt;small&gt; set</h1>" in page
    for title in description.tables:
        assert f"<h2>{title}</h2>" in page
    for note in description.notes:
        assert note in page
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["page.html"]


def test_page_of_a_table_of_labels_without_ages(tmp_path):
    rows = "".join(f"{i}.png,{i},{i % 2}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"path,patient,Edema\n{rows}")
    data = DataConfig(tmp_path, labels_csv=tmp_path / "t.csv", protocol="random-patient")
    write_dataset_page(describe(data), "t", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("data:image/png;base64,") == 5
