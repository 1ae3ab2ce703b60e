"""A run that nobody disturbs, for those that are."""

import pytest

from mamsf_keras.training import build
from tests.conftest import simple_rows, toy_efficientnetv2, write_nih
from tests.training.runs import arguments, succeeded


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A folder with data and an undisturbed run on them."""
    folder = tmp_path_factory.mktemp("resume")
    write_nih(folder / "nih", simple_rows(), test_from=29)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "efficientnetv2", toy_efficientnetv2)
        succeeded(*arguments(folder / "nih", folder / "run"))
    return folder
