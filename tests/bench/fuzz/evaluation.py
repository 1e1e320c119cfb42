"""A fuzz of `eval` by kinds of mistakes: none may be read in silence as something that it isn't.

    python -m tests.bench.fuzz.evaluation [--seeds 200] [--kind NAME ...]

For each seed it draws a dataset and a model's predictions, writes both in formats drawn at random, makes one
mistake of each kind in them, and measures. It prints how many files of each kind were refused, warned about,
read with the right figures, and read in silence with others. The kind `none` has no mistake: it counts false
alarms. So do those of HONEST: right files, of models that know little. They may be warned about, if
they fit other documents as well as their own.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.fuzz.draw import LISTS, Draw
from tests.bench.fuzz.layouts import LAYOUTS
from tests.bench.fuzz.world import Side, figures, outcome, write

OUTCOMES = ("refused", "warned", "read", "silent")


def swapped(draw: Draw) -> tuple[Path, Path]:
    first, second = draw.files()
    return second, first


def swapped_rankings(draw: Draw) -> tuple[Path, Path]:
    """Predictions without scores."""
    first, second = draw.files(predictions=replace(draw.predictions, scores=None))
    return second, first


def multi_hot(side: str) -> Callable[[Draw], tuple[Path, Path]]:
    """Lists of 0 and 1, as integers, floats, booleans or text, in place of lists of labels."""

    def make(draw: Draw) -> tuple[Path, Path]:
        given = {"predictions": draw.predictions, "truth": draw.truth}
        dense = replace(given[side], scores=None).matrix().toarray()
        kind = [int, float, bool, str][draw.random.integers(4)]
        rows: Any = [[kind(int(value)) for value in row] for row in dense]
        paths = dict(zip(("predictions", "truth"), draw.files(ids=True), strict=True))
        paths[side] = write(draw.folder / f"{side}.{draw.one_of(LISTS)}", Side(rows, None, 0))
        return paths["predictions"], paths["truth"]

    return make


def zero_one_array(draw: Draw) -> tuple[Path, Path]:
    """A dense array of decisions as predictions."""
    kind = [int, float, bool][draw.random.integers(3)]
    path = draw.folder / "decisions.npy"
    np.save(path, replace(draw.predictions, scores=None).matrix().toarray().astype(kind))
    return path, draw.files(ids=True)[1]


def graded(draw: Draw) -> tuple[Path, Path]:
    grades = [[float(draw.random.integers(1, 4)) for _ in row] for row in draw.truth.rows]
    return draw.files(truth=replace(draw.truth, scores=grades), ids=True)


def stringified(draw: Draw) -> tuple[Path, Path]:
    """Truth and predictions as lists of one string each, in which the labels are joined or printed."""
    style = draw.random.integers(4)
    sides = []
    for side in (draw.predictions, draw.truth):
        named = [[f"n{label}" for label in row] for row in side.rows]
        rows: Any = [[str(row) if style == 0 else ";|,"[style - 1].join(row)] for row in named]
        sides.append(Side(rows, None, 0))
    first, second = (
        write(draw.folder / f"{role}.{draw.one_of(('jsonl', 'parquet'))}", side)
        for role, side in zip(("predictions", "truth"), sides, strict=True)
    )
    return first, second


def lists_in_csv(draw: Draw) -> tuple[Path, Path]:
    """Python's lists as text in the cells of CSV, which is read."""
    paths = draw.files(ids=True)
    truth = draw.folder / "printed.csv"
    cells = (str(row).replace('"', '""') for row in draw.truth.rows)
    truth.write_text("labels\n" + "".join(f'"{cell}"\n' for cell in cells))
    return paths[0], truth


def transposed(draw: Draw) -> tuple[Path, Path]:
    """The predictions, or both, as matrices L x N."""
    paths = draw.files(ids=True)
    predictions, truth = (draw.folder / name for name in ("p.npz", "t.npz"))
    from scipy import sparse

    sparse.save_npz(predictions, draw.predictions.matrix().T.tocsr())
    sparse.save_npz(truth, draw.truth.matrix().T.tocsr())
    return predictions, truth if draw.random.random() < 0.5 else paths[1]


def ids_off_by_one(draw: Draw) -> tuple[Path, Path]:
    step = int(draw.random.choice([-1, 1]))
    shifted = np.maximum(np.arange(draw.predictions.num_labels) + step, 0)
    rows = [list(dict.fromkeys(row)) for row in draw.predictions.renamed(shifted).rows]
    scores = [values[: len(row)] for values, row in zip(draw.predictions.scores or [], rows, strict=True)]
    width = draw.predictions.num_labels + max(step, 0)
    return draw.files(predictions=Side(rows, scores, width), ids=True)


def rows_off_by_one(draw: Draw) -> tuple[Path, Path]:
    """A row more at the start of the predictions, for example a header, and one less at the end."""
    side = draw.predictions
    assert side.scores is not None
    return draw.files(predictions=replace(side, rows=[[], *side.rows[:-1]], scores=[[], *side.scores[:-1]]))


def one_row_more(draw: Draw) -> tuple[Path, Path]:
    side = draw.predictions
    assert side.scores is not None
    return draw.files(predictions=replace(side, rows=[[], *side.rows], scores=[[], *side.scores]))


def other_rows(draw: Draw) -> tuple[Path, Path]:
    """The documents in another order."""
    side, order = draw.predictions, draw.random.permutation(len(draw.predictions.rows))
    assert side.scores is not None
    rows, scores = ([values[n] for n in order] for values in (side.rows, side.scores))
    return draw.files(predictions=replace(side, rows=rows, scores=scores))


def other_table(draw: Draw) -> tuple[Path, Path]:
    """Label ids of another table with as many labels."""
    new = draw.random.permutation(draw.predictions.num_labels)
    return draw.files(predictions=draw.predictions.renamed(new))


def other_names(draw: Draw) -> tuple[Path, Path]:
    """Label names of another table."""
    return (
        write(draw.folder / f"predictions.{draw.one_of(LISTS)}", draw.predictions, names=True),
        write(draw.folder / f"truth.{draw.one_of(LISTS)}", replace(draw.truth, scores=None)),
    )


def both_transposed(draw: Draw) -> tuple[Path, Path]:
    """Scores of all labels and the truth, as dense arrays L x N."""
    return _dense(draw.folder, draw.predictions, draw.truth, transpose=True)


def all_transposed(draw: Draw) -> tuple[Path, Path, Path]:
    """The same, and training labels as they should be."""
    return (*both_transposed(draw), draw.training())


def training_of_other_table(draw: Draw) -> tuple[Path, Path, Path]:
    """Right predictions and truth, and training labels whose ids are those of another table."""
    new = draw.random.permutation(draw.truth.num_labels)
    return (*draw.files(ids=True), draw.training(new))


def _dense(folder: Path, predictions: Side, truth: Side, transpose: bool) -> tuple[Path, Path]:
    paths = folder / "scores.npy", folder / "truth.npy"
    for path, side in zip(paths, (predictions, truth), strict=True):
        array = side.matrix().toarray()
        np.save(path, array.T.copy() if transpose else array)
    return paths


KINDS: dict[str, Callable[[Draw], tuple[Path, ...]]] = {
    "none": lambda draw: draw.files(),
    "swapped": swapped,
    "swapped, without scores": swapped_rankings,
    "0/1 vectors as truth": multi_hot("truth"),
    "0/1 vectors as predictions": multi_hot("predictions"),
    "0/1 array as predictions": zero_one_array,
    "graded truth": graded,
    "labels joined in one string": stringified,
    "lists as text in CSV": lists_in_csv,
    "transposed": transposed,
    "ids off by one": ids_off_by_one,
    "rows off by one": rows_off_by_one,
    "a row more": one_row_more,
    "rows in another order": other_rows,
    "ids of another table": other_table,
    "names against ids": other_names,
    "both transposed, dense": both_transposed,
    "both transposed, with training": all_transposed,
    "training, right": lambda draw: (*draw.files(ids=True), draw.training()),
    "training of another table": training_of_other_table,
    **LAYOUTS,
}


def weak(skill: float, known: float = 1.0, rare: bool = False) -> Callable[[Draw], tuple[Path, Path]]:
    """The files of a model that finds a true label with probability `skill`, and guesses by frequency.

    It knows the share `known` of the labels, the most frequent ones, and guesses little else. With `rare` it
    guesses labels the rarer the more often.
    """

    def make(draw: Draw) -> tuple[Path, Path]:
        random, side = draw.random, draw.predictions
        counts = (
            np.bincount(np.concatenate(draw.truth.rows).astype(np.int64), minlength=side.num_labels) + 0.1
        )
        chances = 1 / counts if rare else counts
        learned = np.argsort(-counts)[: max(5, round(known * side.num_labels))]
        chances[np.setdiff1d(np.arange(side.num_labels), learned)] /= 50
        chances, rows = chances / chances.sum(), []
        for true, ranked in zip(draw.truth.rows, side.rows, strict=True):
            found = [label for label in true if random.random() < skill and label in learned]
            guesses = random.choice(
                side.num_labels, len(ranked) + len(true), replace=False, p=chances
            ).tolist()
            rows.append([*found, *(label for label in guesses if label not in found)][: len(ranked)])
        return draw.files(predictions=replace(side, rows=rows))

    return make


HONEST: dict[str, Callable[[Draw], tuple[Path, Path]]] = {
    "right, guesses by frequency": weak(0.0),
    "right, a tenth of the skill": weak(0.1),
    "right, knows 5% of the labels": weak(0.5, known=0.05),
    "right, knows 5 labels": weak(0.8, known=0.0),
    "right, prefers rare labels": weak(0.15, rare=True),
}


def run(kind: str, seed: int) -> str:
    """The outcome of one mistake of a kind, or of right files of a kind of HONEST."""
    with tempfile.TemporaryDirectory() as folder:
        draw = Draw(Path(folder), seed)
        if kind in HONEST:
            predictions, truth = HONEST[kind](draw)
            return outcome((predictions, truth), figures(predictions, truth)[0])
        paths = KINDS[kind](draw)
        return outcome(paths, draw.right if len(paths) == 2 else draw.right_trained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--kind", action="append", choices=[*KINDS, *HONEST], help="Only this kind.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = options.kind or [*KINDS, *HONEST]
    counts = {kind: Counter(run(kind, seed) for seed in range(options.seeds)) for kind in kinds}
    if options.json:
        print(json.dumps(counts, indent=2))
        return
    print(f"| {options.seeds} datasets of each kind | {' | '.join(OUTCOMES)} |")
    print("|---|" + "---:|" * len(OUTCOMES))
    for kind, found in counts.items():
        print(f"| {kind} | {' | '.join(str(found[each]) for each in OUTCOMES)} |")


if __name__ == "__main__":
    main()
