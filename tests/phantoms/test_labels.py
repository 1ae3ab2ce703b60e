"""Label sets, frequencies and follow-ups against the published NIH table."""

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.splits import official_split
from mamsf_keras.findings import FINDINGS, IMAGES, NO_FINDING, POSITIVES
from mamsf_keras.phantoms import phantom_table
from mamsf_keras.phantoms.labels import label_sets

pytestmark = pytest.mark.no_keras


def test_label_sets_add_up_to_the_nih_counts():
    sets, shares = label_sets()
    counts = np.rint(shares * IMAGES).astype(int)
    assert counts.sum() == IMAGES
    for finding, positives in POSITIVES.items():
        assert sum(n for labels, n in zip(sets, counts, strict=True) if finding in labels) == positives


def test_frequencies_and_co_occurrence_follow_the_nih_table():
    images = 100_000
    table = phantom_table(images, seed=1)
    assert len(table) == images
    pairs = {  # counted in NIH's Data_Entry_2017.csv
        ("Effusion", "Atelectasis"): 3275,
        ("Infiltration", "Effusion"): 4000,
        ("Infiltration", "Edema"): 981,
        ("Mass", "Nodule"): 906,
        ("Pneumothorax", "Emphysema"): 747,
        ("Effusion", "Cardiomegaly"): 1063,
    }
    expected = {(finding,): n for finding, n in POSITIVES.items()} | pairs
    found = {names: table[list(names)].all(axis=1).sum() for names in expected}
    found[NO_FINDING] = (table[list(FINDINGS)].sum(axis=1) == 0).sum()
    expected[NO_FINDING] = 60_361
    for names, count in expected.items():
        share = count / IMAGES
        # 4.5 standard errors; kept labels of follow-ups raise the variance by at most (1 + 0.15) / (1 - 0.15)
        error = 4.5 * (images * share * (1 - share) * 1.35) ** 0.5
        assert abs(found[names] - share * images) < error, names


def test_lists_and_patients_have_the_official_proportions():
    table = phantom_table(60_000, seed=2)
    assert (table["official_list"] == "test").sum() == round(60_000 * 25_596 / 112_120)
    assert table.groupby("patient")["official_list"].nunique().max() == 1
    rates = table.groupby("official_list").size() / table.groupby("official_list")["patient"].nunique()
    assert rates["train_val"] == pytest.approx(3.09, rel=0.1)
    assert 3.5 < rates["test"] < 9.15
    assert (table.groupby("patient")["follow_up"].max() + 1 == table.groupby("patient").size()).all()


def test_table_is_reproducible_sorted_and_split_officially():
    table = phantom_table(300, seed=4)
    pd.testing.assert_frame_equal(table, phantom_table(300, seed=4))
    assert not table.equals(phantom_table(300, seed=5))
    order = table[["patient", "follow_up"]].to_numpy().tolist()
    assert order == sorted(order) and table["image"].is_unique
    assert table["image"][0] == "00000001_000.png"
    np.testing.assert_array_equal(table["split"], official_split(table))
    assert table.groupby("patient")[["sex"]].nunique().max().item() == 1
    assert set(table["view"]) == {"PA", "AP"} and table["age"].between(2, 120).all()


def test_portable_films_are_more_frequent_with_edema():
    table = phantom_table(20_000, seed=0)
    shares = table["view"].eq("AP").groupby(table["Edema"]).mean()
    assert shares[1] == pytest.approx(0.85, abs=0.07) and shares[0] == pytest.approx(0.38, abs=0.05)


@pytest.mark.parametrize("images, tail", [(600, 1), (2600, 4)])
def test_tail_lifts_every_finding_in_every_split(images, tail):
    table = phantom_table(images, seed=0, tail=tail)
    positive = table[list(FINDINGS)].groupby([table["split"], table["patient"]]).max().groupby(level=0).sum()
    assert set(positive.index) == {"train", "validation", "test"}
    assert positive.to_numpy().min() >= tail
    assert len(table) == images


def test_tail_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit into 200 images.*smaller `tail`"):
        phantom_table(200, tail=8)


@pytest.mark.parametrize("images", [20, 40, 100])
def test_small_sets_have_all_three_splits(images):
    for seed in range(8):
        assert set(phantom_table(images, seed)["split"]) == {"train", "validation", "test"}
