"""A run is found from its metrics backwards, and named by the settings in which it differs from others."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from xmcpipe import recipe
from xmcpipe.artifacts.sealed import seal, unseal
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.errors import XmcpipeError
from xmcpipe.report.facts.recipe_text import recipe_text
from xmcpipe.report.facts.runs import differing, metrics_of, named, read_run
from xmcpipe.training.config import TrainTable


def test_the_whole_chain_is_found_by_fingerprints(finished_shelf: Any) -> None:
    sparse, dense = finished_shelf.runs()
    assert list(sparse.artifacts) == ["raw", "shards", "model", "predictions", "metrics"]
    assert sparse.absent == {}
    assert sparse.dataset == "synthetic"
    assert sparse.test_set == dense.test_set == sparse.artifacts["raw"].manifest.fingerprint
    assert sparse.settings["train.head.kind"] == "ffi"


def test_deleted_artifacts_are_named(shelf: Any) -> None:
    before = shelf.runs()[0]
    shelf.lose("raw")
    after = shelf.runs()[0]
    assert after.absent == {"raw": before.artifacts["raw"].manifest.fingerprint}
    assert after.test_set == before.test_set  # the shards still name their raw data
    shelf.lose("predictions")
    after = shelf.runs()[0]  # and artifacts that only the predictions named are unknown now
    assert list(after.artifacts) == ["shards", "metrics"]
    assert list(after.absent) == ["raw", "predictions"]


@pytest.mark.parametrize("kind", ["metrics", "predictions", "model"])
def test_a_run_may_be_named_by_any_of_its_last_artifacts(finished_shelf: Any, kind: str) -> None:
    dense = finished_shelf.runs()[1]
    elsewhere = Store(Path("no-such-store"))  # the store is found from the folder itself
    assert (
        metrics_of(dense.artifacts[kind].path, elsewhere).path.resolve()
        == finished_shelf.metrics[1].resolve()
    )


def test_of_several_metrics_of_a_model_the_newest_is_used(shelf: Any) -> None:
    (path,) = [path for path in shelf.metrics if path == shelf.metrics[0]]
    newer = path.with_name("0" * 16)
    newer.mkdir()
    for file in path.iterdir():
        (newer / file.name).write_bytes(file.read_bytes())
    manifest = unseal((newer / "manifest.json").read_text())
    manifest["made_by"]["started"] = "2027-01-01T00:00:00.000+00:00"
    (newer / "manifest.json").write_text(seal(manifest))
    model = shelf.runs()[0].artifacts["model"].path
    assert metrics_of(model, shelf.store).path.resolve() == newer.resolve()


def test_other_folders_are_refused(shelf: Any, tmp_path: Path) -> None:
    run = shelf.runs()[0]
    with pytest.raises(XmcpipeError, match="expected a run, got an artifact of shards"):
        metrics_of(run.artifacts["shards"].path, shelf.store)
    with pytest.raises(XmcpipeError, match=r"no manifest\.json"):
        metrics_of(tmp_path, shelf.store)
    shelf.lose("metrics")
    with pytest.raises(XmcpipeError, match="has no metrics") as caught:
        metrics_of(run.artifacts["model"].path, shelf.store)
    assert "xmcpipe predict` and `xmcpipe eval" in caught.value.hint


def test_runs_are_named_by_what_differs(finished_shelf: Any) -> None:
    runs = finished_shelf.runs()
    assert [run.name for run in runs] == ["ffi", "dense"]
    assert differing(runs) == {"train.head.kind": ["ffi", "dense"]}
    assert [run.name for run in named(runs, ["ours", "theirs"])] == ["ours", "theirs"]
    assert [run.name for run in named(runs[:1])] == ["ffi"]
    twins = [run.name for run in named([runs[0], runs[0]])]
    assert all(name.startswith("ffi ") for name in twins)
    for names, words in (
        (["one"], "expected one --name per run, got 1 for 2 runs"),
        (["same", " same"], "got --name 'same' twice"),
        (["  ", "b"], "expected a --name of 1 to 80 characters, got 0"),
        (["a" * 81, "b"], "expected a --name of 1 to 80 characters, got 81"),
    ):
        with pytest.raises(XmcpipeError, match=words):
            named(runs, names)


def test_numbers_in_a_name_come_with_their_key(finished_shelf: Any) -> None:
    first, second = finished_shelf.runs()
    model = second.artifacts["model"]
    table = {**first.artifacts["model"].manifest.config, "epochs": 3}
    changed = dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, config=table))
    second = dataclasses.replace(second, artifacts={**second.artifacts, "model": changed})
    assert [run.name for run in named([first, second])] == ["epochs 10", "epochs 3"]


def test_the_recipe_has_every_setting_and_can_be_loaded(finished_shelf: Any, tmp_path: Path) -> None:
    run = finished_shelf.runs()[1]
    text = recipe_text(run)
    assert text is not None
    tables = tomllib.loads(text)
    assert tables["train"] == run.artifacts["model"].manifest.config
    path = tmp_path / "again.toml"
    path.write_text(text)
    train = recipe.load(str(path)).configs["train"]
    assert isinstance(train, TrainTable)
    assert train.head.kind == "dense"


def test_without_settings_there_is_no_recipe(shelf: Any) -> None:
    shelf.lose("raw")
    assert recipe_text(shelf.runs()[0]) is None


def test_metrics_of_an_older_version_are_read(shelf: Any) -> None:
    path = shelf.metrics[0]
    manifest = unseal((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(seal({**manifest, "schema_version": 1}))
    assert read_run(Artifact.at(path), shelf.store).metrics["model"]


def test_a_run_is_named_like_its_recipe(finished_shelf: Any) -> None:
    first, second = (dataclasses.replace(run, name="") for run in finished_shelf.runs())
    ours, theirs = dataclasses.replace(first, recipe="ours"), dataclasses.replace(second, recipe="theirs")
    assert [run.name for run in named([ours, theirs])] == ["ours", "theirs"]
    assert [run.name for run in named([ours])] == ["ours"]
    # one recipe with other settings: then the settings tell the runs apart
    assert [run.name for run in named([ours, dataclasses.replace(second, recipe="ours")])] == ["ffi", "dense"]
    assert [run.name for run in named([ours, second])] == ["ffi", "dense"]


def test_the_name_of_the_recipe_is_in_the_manifest_of_the_model(shelf: Any) -> None:
    run = shelf.runs()[0]
    path = run.artifacts["model"].path / "manifest.json"
    manifest = unseal(path.read_text())
    manifest["made_by"]["runtime"]["run_name"] = "my  recipe"
    path.write_text(seal(manifest))
    assert shelf.runs()[0].recipe == "my recipe"
    named_here = read_run(run.artifacts["metrics"], shelf.store, recipe="another")
    assert named_here.recipe == "another"
