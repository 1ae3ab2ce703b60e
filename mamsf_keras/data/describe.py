"""What a data folder holds, in tables: counts, parts, patients, findings together, image sizes, duplicates."""

import dataclasses
import os

import numpy as np
import pandas as pd
from tqdm import tqdm

from mamsf_keras.config import PARTS, DataConfig
from mamsf_keras.data.cache import checksum, is_cache
from mamsf_keras.data.folder import note_left_out, read_cache_of
from mamsf_keras.data.image import read_size
from mamsf_keras.data.source import find_files, read_tables
from mamsf_keras.data.splits import overlap_line, split, split_counts
from mamsf_keras.data.tables import Studies, count_and_first, patient_key

OLDEST = 120
"""Ages above it, in years, are counted as errors: NIH's table has one of 412."""


@dataclasses.dataclass(frozen=True)
class Description:
    """What a data folder holds.

    Attributes:
        studies: its studies, with `part`, `height`, `width` and `sha256`, NaN where not known.
        notes: what a person should know, one line each.
        tables: title to frame.
    """

    studies: Studies
    notes: tuple[str, ...]
    tables: dict[str, pd.DataFrame]


def describe(data: DataConfig) -> Description:
    """Describes a data folder, or a cache of one. Images that are missing or damaged are counted, not refused.

    In a cache images of equal pixels are duplicates, in an original folder files of equal bytes.

    Args:
        data: the folder, its labels, and the protocol of its split.

    Raises:
        ValueError, FileNotFoundError: as `read_tables` and `split`.
    """
    studies = read_cache_of(data) if is_cache(data.data_dir) else _read_original(data)
    part = split(studies.table, studies.findings, data.protocol)
    kept = studies.table.assign(part=part)[part != ""].reset_index(drop=True)
    studies = dataclasses.replace(studies, table=kept, notes=studies.notes + note_left_out(part, data.protocol))
    table, findings = studies.table, list(studies.findings)
    same = equal_images(table)
    tables = {
        f"Images, patients and positives by part, {data.protocol} protocol": split_counts(
            table, table["part"].to_numpy(), findings
        ),
        "Prevalence, percent of the labelled images": prevalence(table, findings),
        "Images a patient": images_a_patient(table),
        "Age, sex and view, percent where not said otherwise": people(table),
        "Images with both findings": together(table, findings),
        "Image sizes, height x width in pixels": sizes(table),
        "Duplicates": duplicates(table, same),
    }
    names = [" = ".join(rows["image"].head(5)) for _, rows in same.groupby("sha256")]
    notes = (f"duplicates: {count_and_first(names)}",) if names else ()
    return Description(studies, (*studies.notes, overlap_line(table, table["part"].to_numpy()), *notes), tables)


def _read_original(data) -> Studies:
    studies = read_tables(data)
    paths, notes = find_files(studies, data)
    files, damaged = _look_at(paths.dropna())
    found = f"images found: {len(files)} of {len(paths)}; that cannot be read, by their header: {len(damaged)}"
    notes = (*studies.notes, *notes, found, *damaged[:5])
    return dataclasses.replace(studies, table=studies.table.join(files), notes=notes)


def _look_at(paths) -> tuple[pd.DataFrame, list[str]]:
    """Reads sizes, and the checksum of files that another one equals in length; and what is wrong with headers."""
    lengths, shapes, damaged = [], [], []
    for path in tqdm(paths, desc="looking", unit=" images", delay=1):
        lengths.append(os.path.getsize(path))
        try:
            shapes.append(read_size(path))
        except ValueError as error:
            shapes.append((np.nan, np.nan))
            damaged.append(str(error))
    files = pd.DataFrame(shapes, index=paths.index, columns=["height", "width"], dtype=float)
    readable = files["height"].notna()
    alike = paths[readable & pd.Series(lengths, index=paths.index)[readable].duplicated(keep=False)]
    checksums = [checksum(path) for path in tqdm(alike, desc="comparing", unit=" files", delay=1)]
    return files.assign(sha256=pd.Series(checksums, index=alike.index, dtype=object)), damaged


def prevalence(table, findings) -> pd.DataFrame:
    """Returns the prevalence of each finding in each part, and by what factor that of the test part is higher."""
    labels = table[findings].astype(float)
    parts = {name: labels[table["part"] == name] for name in PARTS}
    rest = labels[table["part"] != "test"]
    frame = pd.DataFrame({name: 100 * rows.mean() for name, rows in parts.items()})
    return frame.assign(**{"test / others": frame["test"] / (100 * rest.mean())}).round(2)


def images_a_patient(table) -> pd.DataFrame:
    """Returns mean, median and maximum of the images a patient, and the share of the tenth that has the most."""

    def summary(rows):
        counts = rows["patient"].map(patient_key).value_counts()
        tenth = counts.head(max(round(len(counts) / 10), 1)).sum() / len(rows)
        return {
            "patients": len(counts),
            "mean": counts.mean(),
            "median": counts.median(),
            "most": counts.max(),
            "percent of the images that the top tenth of the patients has": 100 * tenth,
        }

    return _by_part(table, summary).round(2)


def people(table) -> pd.DataFrame:
    """Returns quartiles of age, and the shares of sexes and views."""

    def summary(rows):
        ages = rows["age"]
        plausible = ages[ages <= OLDEST]
        counts = {f"age, {q} % quantile, years": plausible.quantile(q / 100) for q in (25, 50, 75)}
        counts |= {f"images with an age above {OLDEST}": (ages > OLDEST).sum(), "images without age": ages.isna().sum()}
        for column in ("sex", "view"):
            values = rows[column].fillna("").replace("", "blank")
            counts |= {f"{column} {value}": 100 * (values == value).mean() for value in levels[column]}
        return counts

    levels = {name: sorted(table[name].fillna("").replace("", "blank").unique()) for name in ("sex", "view")}
    return _by_part(table, summary).round(1).dropna(how="all")


def _by_part(table, summary) -> pd.DataFrame:
    parts = {name: summary(table[table["part"] == name]) for name in PARTS}
    return pd.DataFrame({**parts, "all": summary(table)})


def together(table, findings) -> pd.DataFrame:
    """Returns how many images have both of two findings; the diagonal has the positives."""
    positive = table[findings].eq(1).astype(int)
    return positive.T @ positive


def sizes(table) -> pd.DataFrame:
    """Returns how many images have each size, the most frequent ten first."""
    known = table.dropna(subset="height")
    names = known["height"].astype(int).astype(str) + " x " + known["width"].astype(int).astype(str)
    counts = names.value_counts()
    shown = counts.head(10).to_dict() | ({"others": counts[10:].sum()} if len(counts) > 10 else {})
    return pd.DataFrame({"images": shown | {"not known": len(table) - len(known)}})


def equal_images(table) -> pd.DataFrame:
    """Returns the rows whose image another row has too."""
    known = table.dropna(subset="sha256")
    return known[known["sha256"].duplicated(keep=False)]


def duplicates(table, same) -> pd.DataFrame:
    """Counts groups of equal images."""
    groups = same.groupby("sha256")
    counts = {
        "images compared": table["height"].notna().sum(),
        "images that another one equals": len(same),
        "groups of equal images": groups.ngroups,
        "of them in more than one part": (groups["part"].nunique() > 1).sum(),
        "of them of more than one patient": (groups["patient"].nunique() > 1).sum(),
    }
    return pd.DataFrame({"count": counts})


def as_text(description: Description) -> str:
    """Writes the description for a terminal."""
    blocks = ["\n".join(description.notes)]
    for title, frame in description.tables.items():
        if list(frame.index) == list(frame.columns):  # the names are too long for a head
            frame = frame.set_axis(range(1, len(frame) + 1), axis=1)
            frame.index = [f"{number} {name}" for number, name in enumerate(frame.index, 1)]
        blocks.append(f"{title}\n{frame.to_string()}")
    return "\n\n".join(blocks)
