"""Fixtures. The suite runs on every backend, chosen by KERAS_BACKEND."""

import logging
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# JAX compiles a toy of one shape once for all tests and processes, which is ten times faster.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import pytest

from tests.toys import simple_rows, write_nih

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory):
    """Keeps the caches that `train` makes by itself out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture(autouse=True)
def undo_settings_of_commands():
    """Undoes the settings that a command of an earlier test made in this process."""
    logging.getLogger("mamsf_keras").propagate = True  # for `caplog`, which listens to the root logger
    os.environ.pop("TQDM_DISABLE", None)  # --quiet


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("tensorflow") and BACKEND != "tensorflow":
            item.add_marker(pytest.mark.skip(reason=f"needs TensorFlow as backend, this run is on {BACKEND}"))
        if item.get_closest_marker("no_keras") and BACKEND != "tensorflow":
            item.add_marker(pytest.mark.skip(reason="does not use Keras, so it runs once, with the TensorFlow tests"))


@pytest.fixture
def foreign_defaults():
    """The settings that a keras.json with `floatx: float16` and `image_data_format: channels_first` makes."""
    import keras

    from mamsf_keras.devices import temporarily

    with (
        temporarily(keras.config.floatx, keras.config.set_floatx, "float16"),
        temporarily(keras.config.image_data_format, keras.config.set_image_data_format, "channels_first"),
        temporarily(keras.config.dtype_policy, keras.config.set_dtype_policy, "float16"),
    ):
        yield
        assert keras.config.floatx() == keras.config.dtype_policy().name == "float16"
        assert keras.config.image_data_format() == "channels_first"


@pytest.fixture(scope="session")
def nih_dir():
    """The real NIH images."""
    if "MAMSF_NIH_DIR" not in os.environ:
        pytest.skip("MAMSF_NIH_DIR is not set: no real NIH images here")
    return Path(os.environ["MAMSF_NIH_DIR"])


@pytest.fixture
def small_nih(tmp_path):
    """A readable NIH folder of 80 random images of 40 patients, the last 12 of them test."""
    return write_nih(tmp_path / "nih", simple_rows(), test_from=29)
