"""The stage `calibrate` in a chain, and what reads its artifact: predict, eval, the report, Python."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import sparse

import xmcpipe
from tests.pipeline.places import Workplace, settings


@pytest.fixture(scope="module")
def place(finished: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The tiny recipe with a table [calibrate], run to the end."""
    folder = tmp_path_factory.mktemp("calibrated")
    shutil.copytree(finished.store, folder / "artifacts")
    recipe = (finished.folder / "tiny.toml").read_text()
    (folder / "tiny.toml").write_text(recipe.replace("[predict]", "[calibrate]\n\n[predict]"))
    place = Workplace(folder)
    place.run()
    return place


def one(place: Workplace, pattern: str) -> Path:
    (found,) = place.store.glob(pattern)
    return found


def newest(place: Workplace, kind: str) -> Path:
    return max(place.store.glob(f"{kind}/*"), key=lambda path: path.stat().st_mtime)


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_artifact_says_what_was_chosen_and_how_it_does(place: Workplace) -> None:
    facts = json.loads(one(place, "calibration/*/calibration.json").read_text())
    assert facts["method"] in ("none", "temperature", "platt", "isotonic", "frequency")
    losses = {(trial["method"], trial["ranges"]): trial["loss"] for trial in facts["trials"]}
    assert len(losses) == 8
    assert losses[facts["method"], len(facts["ranges"])] == min(losses.values())
    assert set(facts["reliability"]) == {"1", "3", "5"}
    assert all(both["before"] is not None for both in facts["reliability"].values())
    raw = pq.read_metadata(one(place, "raw/*/train.parquet")).num_rows
    assert facts["documents"] == int(0.1 * raw)


def test_predictions_have_probabilities_and_eval_measures_them(place: Workplace) -> None:
    metrics = place.run()["metrics"]
    predictions, shards = newest(place, "predictions"), one(place, "shards/*")
    table = pq.read_table(predictions / "predictions.parquet")
    truth = pq.read_table(one(place, "raw/*/test.parquet"))["labels"].to_pylist()
    assert len(table) == len(truth)
    labels, scores, probabilities = (
        np.array(table[name].to_pylist()) for name in ("labels", "scores", "probabilities")
    )
    hits = np.array([[label in true for label in row] for row, true in zip(labels, truth, strict=True)])
    for k in (1, 3, 5):
        for name, values in (("after", probabilities), ("before", 1 / (1 + np.exp(-scores)))):
            number = np.minimum((values[:, :k] * 15).astype(int), 14)
            error = sum(
                abs(values[:, :k][number == each].sum() - hits[:, :k][number == each].sum())
                for each in range(15)
            )
            assert metrics["calibration"][str(k)][name]["ece"] == pytest.approx(error / hits[:, :k].size)
    printed = place.call("eval", "tiny.toml").stdout
    assert "calibration error of the probabilities" in printed
    assert shards.is_dir()


def test_every_output_has_the_same_probabilities(place: Workplace) -> None:
    texts = pq.read_table(one(place, "raw/*/test.parquet"), columns=["text"])["text"].to_pylist()[:9]
    (place.folder / "in.txt").write_text("\n".join(texts))
    for kind in ("parquet", "jsonl", "csv", "npz"):
        place.call("predict", "tiny.toml", "--input", "in.txt", "-o", f"out.{kind}")
    out = place.folder / "out"
    table = pq.read_table(out.with_suffix(".parquet")).to_pydict()
    expected = table["probabilities"]
    assert all(0 < value < 1 for row in expected for value in row)
    lines = rows(out.with_suffix(".jsonl").read_text())
    assert [[each["label"] for each in row["labels"]] for row in lines] == table["labels"]
    found = {"jsonl": [[each["probability"] for each in row["labels"]] for row in lines]}
    with out.with_suffix(".csv").open(newline="") as file:
        found["csv"] = [json.loads(row["probabilities"]) for row in csv.DictReader(file)]
    matrix = sparse.load_npz(out.with_suffix(".npz"))
    with np.load(out.with_suffix(".npz")) as members:
        values = members["probabilities"]
    found["npz"] = [values[a:b].tolist() for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)]
    printed = place.call("predict", "tiny.toml", "--json", "--input", "in.txt").stdout
    found["printed"] = [[each["probability"] for each in row["labels"]] for row in rows(printed)]
    model = xmcpipe.load(place.folder / "tiny.toml", store=place.store)
    assert model.is_calibrated
    found["python"] = [[each.probability for each in row] for row in model.predict(texts)]
    for kind, values_of_kind in found.items():
        for row, others in zip(values_of_kind, expected, strict=True):
            assert row == pytest.approx(others, abs=2e-6), kind


def test_labels_in_the_order_of_their_probabilities(place: Workplace, tmp_path: Path) -> None:
    shutil.copytree(place.folder, tmp_path / "other")
    place = Workplace(tmp_path / "other")
    by_frequency = ("calibrate.method=frequency", "predict.k=1000")
    place.run(*settings([*by_frequency]))
    by_score = pq.read_table(newest(place, "predictions") / "predictions.parquet").to_pydict()
    chosen = (*by_frequency, "predict.order=probability", "calibrate.candidates=1000")
    place.run(*settings(chosen))
    facts = json.loads((newest(place, "calibration") / "calibration.json").read_text())
    assert facts["method"] == "frequency"
    found = pq.read_table(newest(place, "predictions") / "predictions.parquet").to_pydict()
    moved, columns = 0, (found["labels"], found["scores"], found["probabilities"], by_score["labels"])
    for labels, scores, probabilities, before in zip(*columns, strict=True):
        assert sorted(labels) == sorted(before)
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(1 / (1 + np.exp(-np.array(scores))), probabilities, rtol=1e-3, atol=1e-6)
        moved += labels != before
    assert moved > 0  # the order is another one
    texts = pq.read_table(one(place, "raw/*/test.parquet"), columns=["text"])["text"].to_pylist()[:3]
    model = xmcpipe.load(place.folder / "tiny.toml", store=place.store)
    assert [each.score for each in model.predict(texts[0], k=50)] != found["scores"][0][:50]
    model.save(place.folder / "copy")
    by_probability = xmcpipe.load(place.folder / "copy", order="probability").predict(texts[0], k=5)
    values = np.array([each.probability for each in by_probability], float)
    np.testing.assert_array_equal(values, -np.sort(-values))
    scores = np.array([each.score for each in by_probability])
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), values, atol=1e-6)
    (place.folder / "three.txt").write_text("\n".join(texts))
    printed = place.call("predict", "tiny.toml", *settings(chosen), "--json", "--input", "three.txt").stdout
    for row, scores in zip(rows(printed), found["scores"], strict=False):
        same = [each["score"] for each in row["labels"]]
        np.testing.assert_allclose(same, scores[: len(same)], atol=0.05)  # scores in bfloat16
    place.run(*settings([each.replace("=probability", "=auto") for each in chosen]))
    figures = json.loads((newest(place, "predictions") / "manifest.json").read_text())["figures"]
    assert figures["order"] == facts["order"]["better"]


def test_the_order_of_probabilities_needs_a_calibration(place: Workplace) -> None:
    lines = (place.folder / "tiny.toml").read_text().splitlines()
    (place.folder / "plain.toml").write_text("\n".join(each for each in lines if each != "[calibrate]"))
    done = place.call("predict", "plain.toml", "--set", "predict.order=probability", code=2)
    assert "expected a calibration of" in done.stderr
    assert "[calibrate]" in done.stderr


def test_a_copy_of_the_model_keeps_its_calibration(place: Workplace, tmp_path: Path) -> None:
    model = xmcpipe.load(place.folder / "tiny.toml", store=place.store)
    model.save(tmp_path / "copy")
    copy = xmcpipe.load(tmp_path / "copy", precision="bfloat16")
    assert copy.is_calibrated
    text = "a text"
    assert copy.predict(text, threshold="macro-f1") == model.predict(text, threshold="macro-f1")
    call = ("predict", "--text", text, "--json", "--set", "predict.precision=bfloat16", "--model")
    line = rows(place.call(*call, str(tmp_path / "copy")).stdout)[0]
    assert [each["label"] for each in line["labels"]] == [each.label for each in model.predict(text)]
    # A model artifact by itself has no calibration: it is named, or the logistic function is used.
    artifact = one(place, "model/*")
    plain = xmcpipe.load(artifact)
    assert not plain.is_calibrated
    named = xmcpipe.load(artifact, calibration=one(place, "calibration/*"), precision="bfloat16")
    assert named.predict(text) == model.predict(text)


def test_thresholds_and_lists_of_labels(place: Workplace) -> None:
    text = pq.read_table(one(place, "raw/*/test.parquet"), columns=["text"])["text"][3].as_py()

    def labels(*options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = rows(
            place.call("predict", "tiny.toml", "--text", text, "--json", *options).stdout
        )[0]["labels"]
        return found

    first, second, third, *_ = labels()
    cut = labels("--threshold", str(second["probability"] - 1e-5))
    assert [each["label"] for each in cut] == [
        each["label"] for each in labels() if each["probability"] >= second["probability"] - 1e-5
    ]
    facts = json.loads(one(place, "calibration/*/calibration.json").read_text())
    assert labels("--threshold", "f1") == [
        each for each in labels() if each["probability"] >= facts["f1"]["value"]
    ]
    denied = labels("--deny", f"{first['label']},{third['label']}")
    assert len(denied) == 5  # the lists apply before the cut at k
    assert not {first["label"], third["label"]} & {each["label"] for each in denied}
    (place.folder / "allowed.txt").write_text(f"{third['label']}\n\n{second['label']}\n")
    assert [each["label"] for each in labels("--allow", "allowed.txt")] == [second["label"], third["label"]]
    by_recipe = labels("--set", 'predict.allow="allowed.txt"')
    assert by_recipe == labels("--allow", "allowed.txt")
    assert by_recipe == labels("--set", f'predict.allow=["{second["label"]}", "{third["label"]}"]')


def test_the_stage_follows_the_threshold_and_the_lists(place: Workplace) -> None:
    whole = pq.read_table(newest(place, "predictions") / "predictions.parquet").to_pydict()
    name = pq.read_table(one(place, "raw/*/labels.parquet"))["label"][whole["labels"][0][0]].as_py()
    metrics = place.run(*settings([f'predict.deny=["{name}"]', "predict.threshold=0.3"]))["metrics"]
    cut = pq.read_table(newest(place, "predictions") / "predictions.parquet").to_pydict()
    assert all(value >= 0.3 for row in cut["probabilities"] for value in row)
    for row, values, found in zip(whole["labels"], whole["probabilities"], cut["labels"], strict=True):
        likely = [label for label, value in zip(row, values, strict=True) if value >= 0.3]
        assert [label for label in likely if label != whole["labels"][0][0]] == [
            label for label in found if label in likely
        ]
        assert whole["labels"][0][0] not in found
    assert metrics["documents_with_short_predictions"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threshold", "2"), "expected 0 <= threshold <= 1, got threshold = 2.0"),
        (("--threshold", "f2"), 'expected a number or "f1" or "macro-f1", got \'f2\''),
        (("--allow", "no such label"), "expected labels of the model in allow"),
        (("--deny", ","), "expected names of labels or a file with --deny"),
    ],
)
def test_a_wrong_option_is_one_clear_line(place: Workplace, arguments: tuple[str, ...], message: str) -> None:
    done = place.call("predict", "tiny.toml", "--text", "a", *arguments, code=2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_cannot_be_calibrated_is_one_clear_line(place: Workplace) -> None:
    none = place.call("calibrate", "tiny.toml", *settings(["train.validation=0.0"]), code=2)
    assert "needs model, which isn't in the store" in none.stderr
    model, shards = (str(one(place, f"{kind}/*")) for kind in ("model", "shards"))
    done = place.call("predict", "--model", model, "--text", "a", "--threshold", "f1", code=2)
    assert "expected a calibration of" in done.stderr
    done = place.call("predict", "--model", model, "--text", "a", "--calibration", shards, code=2)
    assert "expected an artifact of kind 'calibration', got one of kind 'shards'" in done.stderr
    wrong = place.call("predict", "tiny.toml", *settings(["calibrate.seed=9"]), "--text", "a", code=2)
    assert "needs calibration" in wrong.stderr
    assert "xmcpipe calibrate" in wrong.stderr


def test_the_report_has_the_diagram(place: Workplace) -> None:
    place.run()
    place.call("report", "tiny.toml", "-o", "report.html")
    page = (place.folder / "report.html").read_text()
    assert "Reliability @1" in page
    assert "uncalibrated" in page
    assert "lowest F1@5" in page
