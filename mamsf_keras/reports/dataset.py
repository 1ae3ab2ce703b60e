"""Description of a data set: counts, splits, patients, co-occurrence, sizes, duplicates."""

import dataclasses

import pandas as pd

from mamsf_keras.config import SPLITS, DataConfig
from mamsf_keras.data.ages import OLDEST
from mamsf_keras.data.equal_images import equal_images, note_equal_images, note_equal_images_across_splits
from mamsf_keras.data.label_counts import count_labels
from mamsf_keras.data.open import open_dataset
from mamsf_keras.data.splits import overlap_line, split_counts
from mamsf_keras.data.tables import patient_key


@dataclasses.dataclass(frozen=True)
class Description:
    """The description of a data set.

    Attributes:
        table: its images, with `split`, `height`, `width` and `sha256`, NaN where unknown.
        findings: names of the finding columns.
        notes: notes for the user, one line each.
        tables: dictionary from title to data frame.
    """

    table: pd.DataFrame
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    tables: dict[str, pd.DataFrame]


def describe(data: DataConfig) -> Description:
    """Describes a data set. Missing or damaged images are counted and do not raise an error.

    Duplicates are images with equal pixels. To find them, original images are decoded, in spawned processes if there
    are many; a cache already contains the hashes of the pixels.

    Args:
        data: the folder, its labels, and the protocol of its splits.

    Raises:
        ValueError, FileNotFoundError: see `open_dataset`.
    """
    dataset = open_dataset(data)
    facts, notes = dataset.store.inspect(dataset.table)
    table = dataset.table.assign(**facts)
    notes = (*dataset.notes, *dataset.split_notes, *notes)
    notes += (*note_equal_images(table), *note_equal_images_across_splits(table))
    table = table[table["split"] != ""].reset_index(drop=True)
    same, findings = equal_images(table), list(dataset.findings)
    tables = {
        f"Images, patients and positives by split, {data.protocol} protocol": split_counts(table, findings),
        "Prevalence, percent of the labeled images": prevalence(table, findings),
        "Images per patient": images_per_patient(table),
        "Age, sex and view, in percent unless stated otherwise": demographics(table),
        "Images with both findings": co_occurrence(table, findings),
        "Image sizes, height x width in pixels": sizes(table),
        "Duplicates": duplicates(table, same),
    }
    notes += (*note_single_class(table, findings), overlap_line(table))
    return Description(table, dataset.findings, tuple(dict.fromkeys(notes)), tables)


def note_single_class(table: pd.DataFrame, findings: list[str]) -> tuple[str, ...]:
    """Returns a note for each split that names the findings that cannot be learned or scored there."""
    notes = []
    for split in SPLITS:
        counts = count_labels(table.loc[table["split"] == split, findings], findings)
        what = "learned" if split == "train" else "scored"
        if counts.single_class:
            text = f"findings that cannot be {what}, because {split} has no positive or no negative images of them: "
            notes.append(f"{text}{len(counts.single_class)} of {len(findings)}: {counts.describe(counts.single_class)}")
    return tuple(notes)


def prevalence(table: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Returns the prevalence of each finding in each split, and the ratio of test to the other splits."""
    labels = table[findings].astype(float)
    rest = labels[table["split"] != "test"]
    frame = pd.DataFrame({name: 100 * labels[table["split"] == name].mean() for name in SPLITS})
    return frame.assign(**{"test / others": frame["test"] / (100 * rest.mean())}).round(2)


def images_per_patient(table: pd.DataFrame) -> pd.DataFrame:
    """Returns mean, median and maximum of the images per patient, and the share of the top tenth of the patients."""

    def summary(rows):
        counts = rows["patient"].map(patient_key).value_counts()
        tenth = counts.head(max(round(len(counts) / 10), 1)).sum() / len(rows)
        return {
            "patients": len(counts),
            "mean": counts.mean(),
            "median": counts.median(),
            "maximum": counts.max(),
            "percent of the images that belong to the top tenth of the patients": 100 * tenth,
        }

    return _by_split(table, summary).round(2)


def demographics(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the quartiles of the age, and the fractions of each sex and view."""

    def summary(rows):
        ages = rows["age"]
        plausible = ages[ages <= OLDEST]
        counts = {f"age, {q}% quantile, years": plausible.quantile(q / 100) for q in (25, 50, 75)}
        counts |= {f"images with an age above {OLDEST}": (ages > OLDEST).sum(), "images without age": ages.isna().sum()}
        for column in ("sex", "view"):
            values = rows[column].fillna("").replace("", "blank")
            counts |= {f"{column} {value}": 100 * (values == value).mean() for value in levels[column]}
        return counts

    levels = {name: sorted(table[name].fillna("").replace("", "blank").unique()) for name in ("sex", "view")}
    return _by_split(table, summary).round(1).dropna(how="all")


def _by_split(table, summary) -> pd.DataFrame:
    splits = {name: summary(table[table["split"] == name]) for name in SPLITS}
    return pd.DataFrame({**splits, "all": summary(table)})


def co_occurrence(table: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Returns the number of images with each pair of findings. The diagonal holds the positives."""
    positive = table[findings].eq(1).astype(int)
    return positive.T @ positive


def sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the number of images of each size, the ten most frequent first."""
    known = table.dropna(subset="height")
    names = known["height"].astype(int).astype(str) + " x " + known["width"].astype(int).astype(str)
    counts = names.value_counts()
    shown = counts.head(10).to_dict() | ({"others": counts[10:].sum()} if len(counts) > 10 else {})
    return pd.DataFrame({"images": shown | {"not known": len(table) - len(known)}})


def duplicates(table: pd.DataFrame, same: pd.DataFrame) -> pd.DataFrame:
    """Counts groups of equal images."""
    groups = same.groupby("sha256")
    counts = {
        "images compared": table["height"].notna().sum(),
        "images that are equal to another": len(same),
        "groups of equal images": groups.ngroups,
        "of them in more than one split": (groups["split"].nunique() > 1).sum(),
        "of them from more than one patient": (groups["patient"].nunique() > 1).sum(),
    }
    return pd.DataFrame({"count": counts})


def as_text(description: Description) -> str:
    """Formats the description for a terminal."""
    blocks = ["\n".join(description.notes)]
    for title, frame in description.tables.items():
        if list(frame.index) == list(frame.columns):  # the names are too long for a header
            frame = frame.set_axis(range(1, len(frame) + 1), axis=1)
            frame.index = [f"{number} {name}" for number, name in enumerate(frame.index, 1)]
        blocks.append(f"{title}\n{frame.to_string()}")
    return "\n\n".join(blocks)
