"""`xmcpipe baseline` on the tiny recipe: beside its model, reused the second time, shown by the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.places import Workplace

STAGES = ["download", "tokenize", "baseline", "eval"]


def baseline(place: Workplace, *arguments: str) -> dict[str, Any]:
    done = place.call("baseline", "tiny.toml", "--json", *arguments)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def states(result: dict[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in result["stages"]}


def manifest(result: dict[str, Any], stage: str) -> dict[str, Any]:
    (path,) = [each["path"] for each in result["stages"] if each["stage"] == stage]
    text: dict[str, Any] = json.loads(Path(path, "manifest.json").read_text())
    return text


def test_a_baseline_is_measured_like_the_model_and_reused(workplace: Workplace) -> None:
    first = baseline(workplace, "--system", "popularity", "--top", "6", "--seed", "3")
    assert states(first) == {"download": "reused", "tokenize": "reused", "baseline": "made", "eval": "made"}
    # The popularity baseline inside every metrics.json is the same system, computed elsewhere.
    own, metrics = first["model"], first["metrics"]
    assert metrics["model"] == metrics["popularity"] == own["popularity"]
    assert own["head"] == "ffi"
    assert own["model"]["P@1"] > metrics["model"]["P@1"]
    made = manifest(first, "baseline")
    assert made["config"]["system"] == "popularity"
    assert (made["config"]["k"], made["config"]["seed"]) == (6, 3)
    assert list(made["inputs"]) == ["raw"]
    assert made["kind"] == "predictions"
    assert made["made_by"]["command"][:2] == ["xmcpipe", "baseline"]

    again = baseline(workplace, "--system", "popularity", "--top", "6", "--seed", "3")
    assert states(again) == dict.fromkeys(STAGES, "reused")
    forced = baseline(workplace, "--system", "popularity", "--top", "6", "--seed", "3", "--force")
    assert states(forced) == states(first)
    assert manifest(forced, "baseline")["outputs"] == made["outputs"]


def test_the_table_has_model_baseline_difference_and_popularity(workplace: Workplace) -> None:
    done = workplace.call("baseline", "tiny.toml", "--set", "baseline.ngrams=1")  # linear by default
    rows = {line.split("  ")[0].strip() for line in done.stdout.splitlines()}
    assert {"%", "model (ffi)", "linear", "difference", "popularity"} <= rows
    table = done.stdout.partition("%")[2].splitlines()
    assert max(map(len, table)) <= 80
    assert "`xmcpipe report tiny.toml` has the intervals" in done.stdout


def test_the_chain_does_not_run_the_baseline_of_its_recipe(workplace: Workplace) -> None:
    recipe = workplace.folder / "tiny.toml"
    recipe.write_text(recipe.read_text() + '\n[baseline]\nsystem = "popularity"\n')
    assert "baseline" not in states(workplace.run())
    assert "baseline" not in workplace.call("status", "tiny.toml").stdout
    assert baseline(workplace)["system"] == "popularity"


def test_the_report_and_eval_take_a_baseline(workplace: Workplace) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra report")
    result = baseline(workplace, "--system", "popularity")
    facts = json.loads(workplace.call("report", "tiny.toml", "--json", "--bootstrap", "20").stdout)
    assert [run["name"] for run in facts["runs"]] == ["tiny", "popularity"]
    assert not [note for note in facts["notes"] if "deleted" in note]
    page = (workplace.folder / "report.html").read_text()
    assert "xmcpipe baseline rerun.toml" in page
    alone = workplace.call("report", "tiny.toml", "--json", "--bootstrap", "20", "--no-baselines")
    assert [run["name"] for run in json.loads(alone.stdout)["runs"]] == ["tiny"]

    (of_baseline,) = [each["path"] for each in result["stages"] if each["stage"] == "baseline"]
    (of_model,) = [
        str(path) for path in workplace.store.glob("predictions/*") if path.name not in of_baseline
    ]
    compared = json.loads(workplace.call("eval", "--compare", of_model, of_baseline, "--json").stdout)
    assert compared["differences"]["P@1"]["difference"] > 0.3
    assert (
        compared["warnings"] == []
    )  # a baseline that predicts the same labels for all documents is no mistake

    # A recipe stands for its predictions.
    by_recipe = json.loads(workplace.call("eval", "--compare", "tiny.toml", of_baseline, "--json").stdout)
    assert by_recipe == compared
    measured = json.loads(workplace.call("eval", "tiny.toml", "--json").stdout)
    assert measured["state"] == "reused"
    assert measured["metrics"]["model"]["P@1"] == compared["differences"]["P@1"]["first"]


def test_a_recipe_without_a_model_gets_its_data_and_a_hint(workplace: Workplace) -> None:
    shutil.rmtree(workplace.store)
    encoder = next(
        line for line in (workplace.folder / "tiny.toml").read_text().splitlines() if "encoder" in line
    )
    data = "documents = 300\nlabels = 20"
    (workplace.folder / "data.toml").write_text(
        f'[download]\ndataset = "synthetic"\n{data}\n[tokenize]\n{encoder}\nmax_length = 32\n'
    )
    done = workplace.call("baseline", "data.toml", "--system", "popularity")
    assert [line.split()[0] for line in done.stdout.splitlines()[:4]] == STAGES
    assert "`xmcpipe run data.toml` adds the row of the model" in done.stdout
    assert "difference" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny.toml", "--system", "parabel"], "expected one of 'popularity', 'linear'"),
        (["tiny.toml", "--set", "baseline.min_dfs=1"], "did you mean 'min_df'?"),
        (["tiny.toml", "--set", "baseline.max_labels=9"], "takes hours for 60 labels"),
        ([], "expected one recipe, got none"),
    ],
)
def test_errors_are_one_line(finished: Workplace, arguments: list[str], message: str) -> None:
    done = finished.call("baseline", *arguments, code=2)
    errors = [line for line in done.stderr.splitlines() if not line.endswith(": running")]
    assert len(errors) == 1
    assert message in errors[0]


def test_a_missing_library_is_reported_before_anything_runs(finished: Workplace, tmp_path: Path) -> None:
    start = "import sys\nsys.modules['omikuji'] = None\n"
    store = str(tmp_path / "empty")
    done = finished.patched(start, "baseline", "tiny.toml", "--system", "omikuji", "--store", store)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install omikuji" in done.stderr
