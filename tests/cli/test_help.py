import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from mamsf_keras.cli import COMMANDS, main

HELP = "import sys; from mamsf_keras.cli import main; main(['--help'], standalone_mode=False)"
LOADED = "; print(sorted({'keras', 'tensorflow', 'pandas', 'numpy'} & set(sys.modules)))"


def test_help_is_quick_and_imports_no_keras():
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", HELP + LOADED], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        assert result.stdout.splitlines()[-1] == "[]"
    assert min(seconds) < 0.3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0 and f"mamsf-keras {name} " in result.output and "Example" in result.output


def test_package_import_is_free():
    code = "import sys, mamsf_keras; print(mamsf_keras.__version__, 'keras' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[1:] == ["False", "False"]


def test_public_names_resolve():
    import mamsf_keras

    for name in mamsf_keras.__all__:
        assert callable(getattr(mamsf_keras, name)) or name == "FINDINGS"
        assert name in dir(mamsf_keras)
        assert getattr(mamsf_keras, name) is getattr(mamsf_keras, name)  # a submodule of that name would take over
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mamsf_keras.nothing
