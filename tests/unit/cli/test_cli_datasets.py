"""`datasets`, and `download` of a registered dataset: what the user sees, with and without a network."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.small_sets import COUNTS, FILES, TEST, tar_of, use_lines_layout, use_registry
from xmcpipe import recipe
from xmcpipe.cli.app import app

NOWHERE = {
    "kind": "https",
    "address": "http://127.0.0.1:9/tiny.tar.gz",
    "layout": "lines",
    "bytes": 2_500_000,
}
RECIPE = """
[download]
dataset = "tiny"
[tokenize]
encoder = "ENCODER"
max_length = 24
[train.head]
fan_in = 8
"""


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One registered dataset that can't be downloaded, and a store and cache of the test's own."""
    monkeypatch.setenv("XMCPIPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(recipe, "FOLDERS", (tmp_path / "recipes",))
    use_registry(tmp_path, monkeypatch, NOWHERE)
    use_lines_layout(monkeypatch)


@pytest.fixture
def archive(tmp_path: Path) -> str:
    (tmp_path / "tiny.tar.gz").write_bytes(tar_of())
    return str(tmp_path / "tiny.tar.gz")


def made(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_without_a_network_one_message_has_a_hint(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/tiny.toml").write_text('[download]\ndataset = "tiny"\n')
    for arguments in (("download", "tiny"), ("run", "tiny")):
        result = call(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        lines = result.stderr.splitlines()
        (error,) = (line for line in lines if line.startswith("error: "))
        assert lines[-1] == error
        assert (
            "error: Tiny-5: none of its 1 mirrors has a valid archive (download its archive with raw text"
            in error
        )
        for part in (
            "https://page.example/xc",
            "127.0.0.1:9/tiny.tar.gz",
            "`xmcpipe download tiny --from PATH`",
        ):
            assert part in error
        assert sum("mirror 1 of 1 failed" in line and "refused" in line for line in lines) == 1
    assert not list((tmp_path / "store").glob("raw/*"))


def test_by_hand_and_from_then_on(tmp_path: Path, archive: str) -> None:
    first = made(call("download", "tiny", "--from", archive, "--json"))
    assert first["state"] == "made"
    assert {key: first["figures"][key] for key in COUNTS} == COUNTS
    second = made(call("download", "tiny", "--from", archive, "--json"))
    assert (second["state"], second["path"]) == ("reused", first["path"])
    assert made(call("download", "tiny", "--json"))["path"] == first["path"]
    # another archive is other data: the existing artifact is not reused
    Path(archive).write_bytes(tar_of({**FILES, "tiny/test.lines": TEST[0]}))
    other = made(call("download", "tiny", "--from", archive, "--json"))
    assert (other["state"], other["figures"]["test"]) == ("made", 1)
    assert other["path"] != first["path"]
    assert made(call("download", "tiny", "--json"))["path"] == other["path"]


def test_in_a_recipe_it_is_a_key(archive: str) -> None:
    settings = ["--set", "download.dataset=tiny", "--set", f"download.archive={archive}"]
    assert made(call("download", *settings, "--json"))["state"] == "made"
    assert call("download", "debian", "--from", archive).exit_code == 2


def test_gc_removes_archives_only_with_the_option(tmp_path: Path, archive: str) -> None:
    made(call("download", "tiny", "--from", archive, "--json"))
    from xmcpipe.data.fetch.archives import CachedArchive, folder_of
    from xmcpipe.data.registry import find

    cached = CachedArchive(folder_of(find("tiny")), find("tiny").mirrors[0])
    cached.folder.mkdir(parents=True)
    cached.archive.write_bytes(b"x" * 1500)
    cached.record.write_text("{}")
    first = call("gc", "--yes")
    assert f"{cached.archive}  archive of tiny  1.5 kB  kept (--archives removes it)" in first.stderr
    assert first.stdout == "nothing to remove\n"
    assert call("gc", "--all", "--yes").exit_code == 0
    listed = call("gc", "--archives", "--dry-run")
    assert listed.stdout == f"{cached.archive}  archive of tiny  1.5 kB\n"
    assert "kept" not in listed.stderr
    assert call("gc", "--archives").exit_code == 2  # there is no terminal to confirm on
    assert cached.archive.is_file()
    removed = made(call("gc", "--archives", "--yes", "--json"))
    assert removed["removes"] == [{"path": str(cached.archive), "bytes": 1500, "stage": None}]
    assert sorted(cached.folder.iterdir()) == [cached.record]
    assert Path(archive).is_file()


def test_the_list_of_datasets(tmp_path: Path, archive: str) -> None:
    lines = [line.split() for line in call("datasets").stdout.splitlines()]
    assert ["dataset", "train", "test", "labels", "archive", "local", "GPU", "(GiB)"] in lines
    assert ["tiny", "6", "2", "5", "2.5", "MB", "-", "-"] in lines
    raw = made(call("download", "tiny", "--from", archive, "--json"))["path"]
    folder = tmp_path / "cache/archives/tiny"
    folder.mkdir(parents=True)
    from xmcpipe.data.fetch.archives import CachedArchive
    from xmcpipe.data.registry import find

    CachedArchive(folder, find("tiny").mirrors[0]).archive.write_bytes(b"x" * 1500)
    (row,) = (line.split() for line in call("datasets").stdout.splitlines() if "tiny " in line)
    assert row == ["tiny", "6", "2", "5", "1.5", "kB", "raw", "+", "archive", "-"]
    (facts,) = json.loads(call("datasets", "--json").stdout)
    assert facts["raw"] == [{"path": raw, "version": "one"}]
    assert [each["bytes"] for each in facts["archives"]] == [1500]
    assert facts["propensity"] == [{"a": 0.5, "b": 0.4, "source": "us"}]
    assert facts["mirrors"][0]["address"] == NOWHERE["address"]
    assert facts["plan"] is None


def test_a_miniature_in_the_list_is_of_no_version(tmp_path: Path) -> None:
    (tmp_path / "mini.tar.gz").write_bytes(tar_of({**FILES, "tiny/test.lines": TEST[0]}))
    made(call("download", "tiny", "--from", str(tmp_path / "mini.tar.gz"), "--json"))
    assert " raw of another version " in call("datasets").stdout


def test_the_planned_memory_of_its_recipe(tmp_path: Path, tiny_encoder: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes/tiny.toml"
    path.write_text(RECIPE.replace("ENCODER", str(tiny_encoder)))
    (facts,) = json.loads(call("datasets", "--json").stdout)
    planned = json.loads(
        call("plan", "tiny", "--labels", "5", "--documents", "6", "--positives", "1.5", "--json").stdout
    )
    assert facts["plan"]["bytes"] == planned["plans"][0]["device_bytes"]["total"] > 0
    path.write_text(RECIPE.replace("ENCODER", "nobody/nothing"))
    result = call("datasets")
    assert result.exit_code == 0
    assert "tiny: no memory plan: the config of encoder 'nobody/nothing' can't be read" in result.stderr
