"""The text of a model card: metadata in YAML and Markdown, as Hugging Face reads it."""

from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mamsf_keras.config import NOTICE
from mamsf_keras.export.model_card import INTENDED_USE, OUT_OF_SCOPE, SPLIT
from mamsf_keras.reports.evaluation_tables import number
from mamsf_keras.reports.score_text import score_text

LICENSE = """The weights are subject to the terms of the training data and of the initial weights, which this card does
not replace. Read them before you publish or use the model. The software, mamsf-keras, is licensed under Apache-2.0."""

USE = """```python
import keras
from mamsf_keras import MAMSFNet  # registers the classes

model = keras.saving.load_model("hf://USER/NAME")
```"""


def card_text(card: dict[str, Any], name: str, parity: str) -> str:
    """Formats a model card in the format of Hugging Face: metadata in YAML, then Markdown.

    Args:
        card: what `describe_run` returned.
        name: name of the model.
        parity: the table of the comparison of the exports with Keras.
    """
    sections = {
        "Intended use": INTENDED_USE,
        "Out of scope": OUT_OF_SCOPE,
        "Data": _bullets(card["data"]),
        "License": LICENSE,
        "Results": _results(card),
        "Subgroups": _subgroups(card["evaluation"]),
        "Exports compared with Keras": parity,
        "Training": _bullets(card["training"]),
        "Versions": _bullets(card["environment"]),
        "Use in Keras": USE,
    }
    body = "\n\n".join(f"## {title}\n\n{text.strip()}" for title, text in sections.items())
    head = f"# {name}\n\n> **{NOTICE}**\n\nSHA-256 of the Keras file: `{card['model_sha256']}`"
    return str(ModelCard(f"---\n{_metadata(card, name).to_yaml()}\n---\n\n{head}\n\n{body}\n"))


def _metadata(card, name):
    metrics = card["evaluation"]
    means = {} if metrics is None else {"roc_auc": "mean_auroc", "average_precision": "mean_average_precision"}
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type="chest-x-ray",
            dataset_name=f"{card['data']['protocol']} protocol, {SPLIT} split",
            metric_type=kind,
            metric_name=f"{kind}, mean over findings",
            metric_value=metrics[key],
        )
        for kind, key in means.items()
        if metrics[key] is not None
    ]
    return ModelCardData(
        language="en",
        license="other",
        license_name="terms-of-the-training-data",
        library_name="keras",
        pipeline_tag="image-classification",
        tags=["chest-x-ray", "multi-label", "long-tailed", "not-a-medical-device"],
        model_name=name,
        eval_results=results or None,
    )


def _results(card) -> str:
    metrics, point = card["evaluation"], card["operating_point"]
    if metrics is None:
        return "\n".join(["Not evaluated.", "", *_lacking(card["uncalibrated"])])
    lines = [
        f"{metrics['images']} images of {metrics['patients']} patients, {SPLIT} split; 95% confidence intervals from a "
        f"bootstrap of the patients. Sensitivity and specificity at the operating point `{point}`.\n",
        "| finding | positives | AUROC | average precision | threshold | sensitivity | specificity |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in metrics["findings"].items():
        decision = (row.get("operating_points") or {}).get(point) or {}
        scores = [score_text(row, "auroc"), score_text(row, "average_precision"), number(decision.get("threshold"))]
        scores += [score_text(decision, key) if key in decision else "–" for key in ("sensitivity", "specificity")]
        lines.append(f"| {name} | {row['positives']} | {' | '.join(scores)} |")
    lines += [f"| {label} average | | {score_text(row, 'auroc')} | {score_text(row, 'average_precision')} | | | |"
              for label, row in metrics["means"].items()]  # fmt: skip
    return "\n".join([*lines, "", *_lacking(card["uncalibrated"])])


def _lacking(uncalibrated) -> list[str]:
    if uncalibrated is None:
        return ["The run has no calibration: the exports have neither calibrated probabilities nor decisions."]
    texts = {"calibrated": "calibrated probability (NaN)", "positive": "threshold (never positive)"}
    return [f"Without {texts[key]}: {', '.join(names)}.\n" for key, names in uncalibrated.items() if names]


def _subgroups(metrics) -> str:
    groups = (metrics or {}).get("subgroups") or {}
    rows = [
        f"| {kind} {value} | {row['images']} | {number(row['mean_auroc'])} | {number(row['mean_average_precision'])} |"
        for kind, values in groups.items()
        for value, row in values.items()
    ]
    header = ["| subgroup | images | mean AUROC | mean average precision |", "|---|--:|--:|--:|"]
    return "\n".join([*header, *rows]) if rows else "Not evaluated."


def _bullets(values) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in values.items())
