"""Checks of errors on the command line."""

from tests.runs import invoke


def check_fails(folder, arguments, code, *words):
    """Runs a command that must fail: one `Error:` line with these words, this exit code, nothing left in the folder."""
    before = sorted(folder.rglob("*"))
    result = invoke(*arguments)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert result.exit_code == code, result.output
    assert len(errors) == 1 and "Traceback" not in result.output, result.output
    for word in words:
        assert str(word) in errors[0]
    assert sorted(folder.rglob("*")) == before
    return result
