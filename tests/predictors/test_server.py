import pytest

from mamsf_keras.predictors.server import open_server

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize("url", ["host:8500", "ftp://host", "localhost", ""])
def test_other_protocols_are_refused(url):
    with pytest.raises(ValueError, match="`server` must start with grpc://, http:// or https://"):
        open_server(url)
