import os
import re
import shutil

import pytest

from mamsf_keras.data.cache.originals import check_originals
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from tests.toys import contents

pytestmark = pytest.mark.no_keras


@pytest.fixture
def cache_dir(small_nih, tmp_path):
    prepare(open_dataset(small_nih), tmp_path / "cache", 12, workers=1, shard_images=32)
    return tmp_path / "cache"


def test_edit_of_the_same_size_is_refused_until_prepared_again(small_nih, cache_dir):
    path = next(small_nih.rglob("00000039_001.png"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    words = f"changed after the cache {cache_dir} was made: 1 (first: {path}). Run the same `mamsf-keras prepare`"
    with pytest.raises(ValueError, match=re.escape(words)):
        open_dataset(cache_dir)
    path.write_bytes(content)
    open_dataset(cache_dir)


def test_originals_that_are_gone_or_only_touched_are_accepted(small_nih, cache_dir, caplog):
    caplog.set_level("INFO")
    check_originals(cache_dir)
    assert not caplog.messages
    before = contents(cache_dir)
    for number, path in enumerate(sorted(small_nih.rglob("*.png"))):
        if number % 2:
            path.unlink()
        else:
            os.utime(path, ns=(10**18, 10**18))
    check_originals(cache_dir)
    assert "40 originals" in caplog.messages[0] and "new modification times but the same content" in caplog.messages[0]
    shutil.rmtree(small_nih)
    check_originals(cache_dir)
    assert len(open_dataset(cache_dir).resolved.table) == 80 and contents(cache_dir) == before
