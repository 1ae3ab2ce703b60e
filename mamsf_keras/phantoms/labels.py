"""The table of a phantom data set: patients, follow-ups and label sets."""

from importlib.resources import files

import numpy as np
import pandas as pd

from mamsf_keras.data.splits import official_split
from mamsf_keras.findings import FINDINGS, IMAGES, NO_FINDING
from mamsf_keras.phantoms.geometry import LABELS, TAIL, stream

TEST_IMAGES = 25_596
"""Number of images in `test_list.txt` of NIH, of 112,120."""

IMAGES_PER_PATIENT = {"train_val": 86_524 / 28_008, "test": 25_596 / 2_797}
"""Images per patient in the two NIH lists: 3.09 and 9.15."""

ONLY_ONE = 0.57
"""Fraction of NIH patients with a single image."""

KEPT = 0.15
"""Probability that a follow-up keeps the labels. Including chance repeats, 41% do, as in the NIH table."""

PORTABLE = {"Edema": 0.85, "Consolidation": 0.6, "Pneumonia": 0.6, "Effusion": 0.5, "Atelectasis": 0.45}
"""Fraction of AP views among images with a finding. The largest one applies, and 0.33 without these findings."""

FORMATS = ((2048, 0.171), (2500, 0.143), (2544, 0.139))
"""Pixels per side and pixel spacing in millimeters: the most common NIH values, for square films of 35 cm."""


def label_sets() -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Reads the joint label distribution of the full NIH table.

    Source: `Data_Entry_2017.csv` of the NIH release (Wang et al., ChestX-ray8, CVPR 2017, arXiv 1705.02315), counts
    only.

    Returns:
        The sets of findings, with an empty set for No Finding, and their frequencies, float64.
    """
    path = files("mamsf_keras.phantoms") / "label_sets.csv"
    with path.open(encoding="utf-8") as lines:
        table = pd.read_csv(lines)
    sets = [tuple(text.split("|")) if text != NO_FINDING else () for text in table["findings"]]
    return sets, table["images"].to_numpy() / IMAGES


def phantom_table(images: int, seed: int = 0, tail: int = 0) -> pd.DataFrame:
    """Draws the table of a phantom data set.

    Args:
        images: number of rows, at least 20.
        seed: random seed, at least 0.
        tail: minimum number of positive patients of each finding in each of train, validation and test.

    Returns:
        A table with `image`, `patient`, `follow_up`, `official_list` ("train_val" or "test"), `split`
        ("train", "validation" or "test"), `age`, `sex` ("M" or "F"), `view` ("PA" or "AP"), `pixels`, `spacing`
        (mm), and one 0/1 column per finding, sorted by patient and follow-up.

    Raises:
        ValueError: if an argument is out of range, or there are too few images for `tail`.
    """
    for name, value, least in (("images", images, 20), ("seed", seed, 0), ("tail", tail, 0)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}.")
    rng = stream(seed, LABELS)
    table = _patients(images, rng)
    table = table.join(_draw_labels(table, rng))
    _lift(table, tail, stream(seed, TAIL))
    table["split"] = official_split(table, FINDINGS)
    return _demographics(table, rng)


def _follow_ups(images, mean, rng):
    """Returns the number of images of each patient, `images` in total. Most patients have one, a few have many."""
    counts = np.empty(0, dtype=np.int64)
    several = max((mean - ONLY_ONE) / (1 - ONLY_ONE), 1)
    while counts.sum() < images:
        single = rng.random(256) < ONLY_ONE
        counts = np.append(counts, np.where(single, 1, rng.geometric(1 / several, 256)))
    last = int(np.searchsorted(np.cumsum(counts), images))
    counts[last] -= counts[: last + 1].sum() - images
    return counts[: last + 1]


def _patients(images, rng):
    """Returns the patient, follow-up and official list of each row. In small sets, test patients have fewer images."""
    test = round(images * TEST_IMAGES / IMAGES)
    usual, many = IMAGES_PER_PATIENT["train_val"], IMAGES_PER_PATIENT["test"]
    means = {"train_val": min(usual, (images - test) / 20), "test": usual + (many - usual) * min(images / IMAGES, 1)}
    sizes = {"train_val": images - test, "test": test}
    by_list = {name: _follow_ups(n, means[name], rng) for name, n in sizes.items()}
    lists = np.repeat(list(by_list), [len(c) for c in by_list.values()])
    counts = np.concatenate(list(by_list.values()))
    order = rng.permutation(len(counts))
    patient = np.repeat(np.arange(1, len(counts) + 1), counts[order])
    follow_up = np.concatenate([np.arange(n) for n in counts[order]])
    names = [f"{p:08d}_{f:03d}.png" for p, f in zip(patient, follow_up, strict=True)]
    listed = np.repeat(lists[order], counts[order])
    return pd.DataFrame({"image": names, "patient": patient, "follow_up": follow_up, "official_list": listed})


def _draw_labels(table, rng):
    """Returns the finding columns, drawn from the NIH table; some are kept from the previous visit."""
    sets, shares = label_sets()
    drawn = rng.choice(len(sets), len(table), p=shares)
    kept = (rng.random(len(table)) < KEPT) & (table["follow_up"] > 0).to_numpy()
    first = np.maximum.accumulate(np.where(kept, 0, np.arange(len(table))))
    return pd.DataFrame(_one_hot(sets)[drawn[first]], columns=list(FINDINGS), index=table.index)


def _one_hot(sets):
    return np.array([[finding in labels for finding in FINDINGS] for labels in sets], dtype=np.int64)


def _lift(table, tail, rng):
    """Assigns label sets to patients without findings, in place, until `tail` is satisfied."""
    sets, shares = label_sets()
    hot = _one_hot(sets)
    while missing := _missing(table, tail):
        for finding, official, count in missing:
            weights = shares * hot[:, FINDINGS.index(finding)]
            for row in _free_rows(table, official, count, rng):
                table.loc[row, list(FINDINGS)] = hot[rng.choice(len(sets), p=weights / weights.sum())]


def _missing(table, tail):
    """Returns (finding, official list, number of patients to add). One in ten train_val patients is validation."""
    if not tail:
        return []
    split = official_split(table, FINDINGS)
    positive = table[list(FINDINGS)].groupby([split, table["patient"]]).max().groupby(level=0).sum()
    missing = []
    for finding in FINDINGS:
        lack = {name: tail - int(positive[finding].get(name, 0)) for name in ("train", "validation", "test")}
        lift = {"train_val": max(lack["train"], 5 * lack["validation"]), "test": lack["test"]}
        missing += [(finding, official, n) for official, n in lift.items() if n > 0]
    return missing


def _free_rows(table, official, count, rng):
    """Draws `count` patients without findings and returns one image of each."""
    free = table.loc[table["official_list"] == official, ["patient", *FINDINGS]].groupby("patient").max().sum(axis=1)
    patients = free.index[free == 0].to_numpy()
    if len(patients) < count:
        raise ValueError(
            f"`tail` patients with each finding do not fit into {len(table)} images: too few patients without findings "
            f"are left in {official}. Use more `images` or a smaller `tail`."
        )
    chosen = rng.choice(patients, count, replace=False)
    return table.index[table["patient"].isin(chosen)].to_series().groupby(table["patient"]).first()


def _demographics(table, rng):
    """Adds age, sex, view and film format."""
    patients = int(table["patient"].max())
    age = np.clip(np.rint(48 + 30 * (rng.random((patients, 3)).sum(1) - 1.5)), 2, 95).astype(int)
    female = rng.random(patients) < 0.44
    row = table["patient"].to_numpy() - 1
    table["age"] = age[row] + table["follow_up"] // 4
    table["sex"] = np.where(female[row], "F", "M")
    share = np.full(len(table), 0.33)
    for finding, portable in PORTABLE.items():
        share = np.maximum(share, portable * table[finding])
    table["view"] = np.where(rng.random(len(table)) < share, "AP", "PA")
    formats = np.array(FORMATS)[rng.integers(len(FORMATS), size=len(table))]
    table["pixels"], table["spacing"] = formats[:, 0].astype(int), formats[:, 1]
    return table
