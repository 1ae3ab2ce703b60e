import pytest

from tests.runs import invoke, succeeded

pytestmark = pytest.mark.no_keras


def test_page_is_written_once_and_replaced_only_with_overwrite(small_nih, tmp_path):
    out = tmp_path / "page.html"
    result = invoke("describe", "--data-dir", small_nih, "--out", tmp_path / "no" / "page.html")
    assert result.exit_code == 1 and "The folder of" in result.stderr and result.stdout == ""
    text = succeeded("describe", "--data-dir", small_nih, "--out", out)
    assert "Images, patients and positives by split" in text and f"written: {out}" in text
    page = out.read_text()
    result = invoke("describe", "--data-dir", small_nih, "--out", out)
    assert result.exit_code == 1 and "use --overwrite" in result.stderr
    assert out.read_text() == page
    out.write_text("old")
    succeeded("describe", "--data-dir", small_nih, "--out", out, "--overwrite")
    assert out.read_text() == page
