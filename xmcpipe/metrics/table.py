"""The contents of metrics.json as rows of text, for whoever prints a table."""

from collections.abc import Mapping
from typing import Any

NAMES = {
    "P": "precision",
    "nDCG": "nDCG",
    "R": "recall",
    "PSP": "PSP, normalised",
    "PSP_raw": "PSP, raw",
    "PSnDCG": "PSnDCG, normalised",
    "macro_P_all": "macro precision, all labels",
    "macro_R_all": "macro recall, all labels",
    "macro_F1_all": "macro F1, all labels",
    "macro_P_tested": "macro precision, labels in test",
    "macro_R_tested": "macro recall, labels in test",
    "macro_F1_tested": "macro F1, labels in test",
    "coverage_all": "coverage, all labels",
    "coverage_tested": "coverage, labels in test",
}


def table(metrics: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row a metric: its name, the model at each k, then popularity at each k; percentages."""
    systems = [name for name in ("model", "popularity") if metrics[name]]
    header = ["%", *(f"{_short(system)}@{k}" for system in systems for k in metrics["k"])]
    rows = [
        [title, *(f"{100 * metrics[system][f'{name}@{k}']:.2f}" for system in systems for k in metrics["k"])]
        for name, title in NAMES.items()
        if f"{name}@{metrics['k'][0]}" in metrics["model"]
    ]
    return [header, *rows]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What has to be said beside the table: the counts, A, B and N, and what was unusual."""
    lines = [
        f"{metrics['documents']:,} documents, {metrics['labels']:,} labels ({metrics['labels_from']}), "
        f"{metrics['labels_in_test']:,} of them in the test"
    ]
    if metrics["joined_by"] != "id":
        lines.append(f"predictions and truth were joined by {metrics['joined_by']}")
    propensity = metrics["propensity"]
    if propensity:
        counted = {"standard": "", "paper": ", label texts counted as documents"}[propensity["kind"]]
        constants = f"A {propensity['a']:g}, B {propensity['b']:g}, N {propensity['n']:,}"
        lines.append(f"PSP with {constants} ({propensity['kind']} propensity{counted})")
    else:
        lines.append("no PSP and no popularity baseline: they need the training labels")
    unusual = {
        "documents_without_truth": "documents have no true label and count as 0",
        "documents_with_short_predictions": f"documents have under {metrics['k'][-1]} predictions: misses",
        "predictions_of_unknown_labels": "predictions are of labels unknown to truth and training: misses",
        "filtered_pairs_in_truth": "pairs of the truth are excluded by the dataset and don't count",
        "filtered_pairs_in_predictions": "pairs of the predictions are excluded by the dataset: left out",
        "repeated_labels_merged": "labels were repeated in a document of truth or training: merged",
    }
    return lines + [f"{metrics[key]:,} {text}" for key, text in unusual.items() if metrics[key]]


def _short(system: str) -> str:
    return {"model": "", "popularity": "popular "}[system]
