"""The comparison of two recipes as text, as Markdown and as a page. Takes the content of `comparison.json`."""

import functools
from pathlib import Path

import pandas as pd

from mamsf_keras.config import FEW_PATIENTS
from mamsf_keras.reports import html

METRICS = {"auroc": "AUROC", "average_precision": "Average precision"}

HIGHER = ("A is higher", "B is higher")
"""The results of a significant test."""

EXPLANATION = (
    "A and B are means over the seeds, ± their standard deviation. The 95% confidence interval of A − B and its "
    "p-value cover both the seeds and the patients (Obuchowski and Rockette, with seeds nested in recipes; degrees of "
    "freedom by Hillis). Intervals are not adjusted. Results of findings follow Holm's p-value, which is adjusted for "
    "the number of findings; results of means follow their own p-value. Not distinguishable means that this test did "
    "not tell the recipes apart. It does not mean that they are equal: the interval shows which differences remain "
    "possible."
)

NOISE = (
    "Seed SD is the standard deviation of one model over the seeds, patient SD over resamples of the patients. Models "
    "are tested on the same patients, so most of the patient SD cancels in A − B. The standard error (SE) of A − B has "
    "two parts, whose squares add up: more seeds reduce the one, more patients the other."
)


def comparison_frame(result: dict, metric: str) -> pd.DataFrame:
    """Returns the differences in one metric as text, one row per finding, then one per mean."""
    rows = {}
    for name, row in _rows(result).items():
        values = row[metric]
        rows[name] = {
            "positives (patients)": f"{row['positives']:,} ({row['positive_patients']:,})"
            if "positives" in row
            else "",
            "A": _mean(values["A"]),
            "B": _mean(values["B"]),
            "A − B (95% CI)": _difference(values),
            "p": _p_value(values["p_value"]),
            "p (Holm)": _p_value(values.get("p_value_holm")),
            "result": values["result"],
        }
    return _table_of(rows, always=("positives (patients)", "A", "B"))


def noise_frame(result: dict, metric: str) -> pd.DataFrame:
    """Returns the sources of noise in one metric: standard deviations (SD) of a model, standard errors of A − B."""
    rows = {}
    for name, row in _rows(result).items():
        values = row[metric]
        rows[name] = {
            "seed SD, A": _number(values["A"]["seed_sd"]),
            "seed SD, B": _number(values["B"]["seed_sd"]),
            "patient SD, A": _number(values["A"]["patient_sd"]),
            "patient SD, B": _number(values["B"]["patient_sd"]),
            "SE from seeds": _number(values["standard_error_seeds"]),
            "SE from patients": _number(values["standard_error_patients"]),
            "SE": _number(values["standard_error"]),
            "degrees of freedom": "" if values["degrees_of_freedom"] is None else f"{values['degrees_of_freedom']:.1f}",
        }
    return _table_of(rows, always=("patient SD, A", "patient SD, B"))


def _table_of(rows, always) -> pd.DataFrame:
    """Returns the rows as a table. The columns that are not in `always` are left out if no row has a value for them."""
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame.drop(columns=[name for name in frame if name not in always and frame[name].eq("").all()])


def comparison_text(result: dict) -> str:
    """Formats a comparison for a terminal."""
    blocks = ["\n".join(description(result))]
    for metric, title in METRICS.items():
        frame = comparison_frame(result, metric).drop(columns="positives (patients)")
        frame[["A", "B"]] = frame[["A", "B"]].map(lambda cell: cell.split()[0] if cell else "")  # without the SD
        blocks.append(f"{title}\n{frame.to_string()}")
        blocks.append(f"{title}, sources of noise\n{noise_frame(result, metric).loc[list(_means(result))].to_string()}")
    return "\n\n".join(blocks)


def comparison_markdown(result: dict) -> str:
    """Formats a comparison as Markdown, with one table per metric."""
    lines = [line for text in (*description(result), *result["notes"]) for line in (text, "")]
    for metric, title in METRICS.items():
        for heading, frame in ((title, comparison_frame), (f"{title}, sources of noise", noise_frame)):
            lines += [f"## {heading}", "", *_markdown_table(frame(result, metric)), ""]
    return "\n".join([*lines, EXPLANATION, "", NOISE]) + "\n"


def write_comparison_page(result: dict, out: str | Path) -> None:
    """Writes the page atomically.

    Args:
        result: the content of `comparison.json`.
        out: the file.
    """
    blocks = [html.paragraph(text) for text in (*description(result), *result["notes"])]
    blocks += [html.heading("How to read this page"), html.paragraph(EXPLANATION)]
    for metric, title in METRICS.items():
        draw = functools.partial(_forest, result=result, metric=metric)
        height = 1.1 + 0.25 * len(_rows(result))
        blocks += [html.heading(title), html.plot(draw, height, width=5), _table(comparison_frame(result, metric))]
        blocks += [
            html.heading(f"{title}, sources of noise"),
            html.paragraph(NOISE),
            _table(noise_frame(result, metric)),
        ]
    html.write_page(out, f"Comparison of two recipes, {result['split']} split", blocks)


def _table(frame) -> str:
    """Returns a table whose cells do not wrap: it scrolls on a phone."""
    return html.table(frame.map(lambda cell: cell.replace(" ", "\N{NO-BREAK SPACE}")))


def description(result: dict) -> list[str]:
    """Returns what was compared, one line each."""
    protocol = f"{result['protocol']} protocol, " if result["protocol"] else ""
    lines = [f"Data: {protocol}{result['split']} split, {result['images']:,} images of {result['patients']:,} patients"]
    for name, recipe in result["recipes"].items():
        seeds = ", ".join(map(str, recipe["seeds"]))
        lines.append(f"Recipe {name}: {', '.join(recipe['runs'])} (seeds {seeds})")
    for name, (a, b) in result["settings"].items():
        lines.append(f"The recipes differ in {name}: {a} (A), {b} (B)")
    if result["undefined"]:
        lines.append(f"Undefined and left out of the means: {', '.join(result['undefined'])}")
    for name, row in _means(result).items():
        if row["too_few_patients"]:
            lines.append(
                f"No test of the {name}, which includes findings with {FEW_PATIENTS}: "
                f"{', '.join(row['too_few_patients'])}"
            )
    for metric, title in METRICS.items():
        if names := [name for name, row in _rows(result).items() if _is_constant(row[metric])]:
            lines.append(f"No variation between seeds or patients in {title}, and so no test: {', '.join(names)}")
    return lines


def _is_constant(values) -> bool:
    return values["standard_error"] is not None and values["p_value"] is None


def _means(result) -> dict:
    """Returns the rows of the means by their name."""
    names = {"macro": "mean"}
    return {
        f"{names.get(name, f'mean, {name}')} ({row['findings']} findings)": row for name, row in result["means"].items()
    }


def _rows(result) -> dict:
    return result["findings"] | _means(result)


def _number(value) -> str:
    return "" if value is None else f"{value:.4f}"


def _mean(recipe) -> str:
    """Formats the mean over the seeds and their standard deviation."""
    spread = "" if recipe["seed_sd"] is None else f" ± {recipe['seed_sd']:.4f}"
    return f"{_number(recipe['mean'])}{spread}"


def _difference(values) -> str:
    if values["difference"] is None:
        return ""
    interval = values["interval"]
    return f"{values['difference']:+.4f}" + (f" ({interval[0]:+.4f} to {interval[1]:+.4f})" if interval else "")


def _p_value(value) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _markdown_table(frame) -> list[str]:
    lines = [["", *frame.columns], ["---", *["--:"] * len(frame.columns)]]
    lines += [[name, *row] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _forest(axis, result, metric):
    """Draws the differences with their intervals, in color where the recipes are distinguishable."""
    from matplotlib.ticker import MaxNLocator

    rows = _rows(result)
    for position, row in enumerate(rows.values()):
        values = row[metric]
        if values["difference"] is None:
            continue
        color = "C0" if values["result"] in HIGHER else "#888888"
        if values["interval"]:
            axis.plot(values["interval"], [position, position], color=color, linewidth=2)
        filled = {} if values["interval"] else {"markerfacecolor": "white"}
        axis.plot(values["difference"], position, "o", color=color, **filled)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.axhline(len(result["findings"]) - 0.5, color="#dddddd", linewidth=0.8)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_xlabel(f"{METRICS[metric]}, A − B, with 95% intervals\nblue: distinguishable, gray: not, hollow: no test")
