import pytest

from mamsf_keras.predictors.server_client import parse_url

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("grpc://host:8500", ("host:8500", "mamsf", None)),
        ("grpc://host:8500/", ("host:8500", "mamsf", None)),
        ("grpc://host:8500/chest", ("host:8500", "chest", None)),
        ("http://host:8501/chest/versions/3", ("host:8501", "chest", 3)),
        ("http://host:8501/v1/models/chest", ("host:8501", "chest", None)),
        ("https://host/v1/models/chest/versions/3:predict", ("host", "chest", 3)),
    ],
)
def test_url_names_the_address_the_model_and_its_version(url, expected):
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url", ["grpc://", "grpc:///chest", "http://host/a/b", "http://host/a/versions/x", "http://host/a?b=c"]
)
def test_other_urls_are_refused_with_the_form_that_is_needed(url):
    with pytest.raises(ValueError, match=r"must be SCHEME://HOST:PORT, optionally with /NAME/versions/N. Received: "):
        parse_url(url)
