"""Data and finished runs that tests of training share."""

import contextlib
import shutil

import pytest

from mamsf_keras import RunDir, open_dataset
from mamsf_keras.devices import Devices
from mamsf_keras.training.data import load_training_data
from tests.runs import succeeded, toy_config, train_arguments
from tests.toys import simple_rows, write_nih


@pytest.fixture(scope="session")
def shared_nih(tmp_path_factory):
    """The folder of `small_nih`, for tests that do not change it."""
    return write_nih(tmp_path_factory.mktemp("shared") / "nih", simple_rows(), test_from=29)


@pytest.fixture(scope="session")
def uninterrupted(shared_nih, tmp_path_factory):
    """An uninterrupted run with three phases on `shared_nih`. Tests must not change it."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    succeeded(*train_arguments(shared_nih, folder))
    return RunDir(folder)


@pytest.fixture
def finished(uninterrupted, tmp_path):
    """A copy of the uninterrupted run."""
    shutil.copytree(uninterrupted.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


@pytest.fixture(scope="session")
def training_data(shared_nih):
    """The data of a run with the options of `toy_config`."""
    config = toy_config(shared_nih)
    return load_training_data(open_dataset(config), config, Devices(contextlib.nullcontext()))
