"""The page: complete, escaped, with every section, and a note on everything that is missing."""

import base64
import dataclasses
import errno
import gzip
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.report_store import SCRIPT, make_runs
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.store import Artifact
from xmcpipe.errors import XmcpipeError
from xmcpipe.report.facts.runs import named, read_run
from xmcpipe.report.make import ReportOptions, make_report
from xmcpipe.report.page import output, render

SECTIONS = (
    *("figures", "learning", "frequency", "calibration", "labels", "memory", "speed", "topology"),
    *("documents", "settings"),
)


def made(shelf: Any, folder: Path, **options: int) -> tuple[str, dict[str, Any]]:
    path = folder / "page.html"
    facts = make_report(named(shelf.runs(), ["ffi", "dense"]), ReportOptions(rounds=30, **options), path)
    return path.read_text(encoding="utf-8"), facts


def test_every_section_exists_and_the_page_needs_no_network(finished_shelf: Any, tmp_path: Path) -> None:
    text, facts = made(finished_shelf, tmp_path)
    assert re.findall(r'<section id="(\w+)">', text) == list(SECTIONS)
    assert facts["documents"] == 40
    assert facts["bytes"] == len(text.encode()) < 5_000_000
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=|url\(|@import", outside)
    assert text.count('class="chart"') >= 12
    assert 'lang="en"' in text
    assert "xmcpipe run &#39;my recipe.toml&#39;" in text  # quoted for a shell, then for HTML


def test_scripts_run_by_their_hash_and_no_other(finished_shelf: Any, tmp_path: Path) -> None:
    text, _ = made(finished_shelf, tmp_path)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert len(scripts) == 2
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    for closed in ("default-src", "base-uri", "form-action"):
        assert f"{closed} 'none'" in policy[1]
    assert re.findall(r"sha256-([^'&]+)", policy[1].replace("&#43;", "+")) == digests


@pytest.mark.parametrize("where", ["value", "interval", "memory"])
def test_figures_of_another_kind_are_one_line_that_names_the_run(
    shelf: Any, tmp_path: Path, where: str
) -> None:
    """A stranger may have written them, and sealed the manifest."""
    run = shelf.runs()[1]
    if where == "memory":
        model = run.artifacts["model"]
        memory = {**model.manifest.figures.get("memory", {}), "ratio": [[]], "measured": 1, "planned": 1}
        changed = {**model.manifest.figures, "memory": memory}
        Manifest.write(dataclasses.replace(model.manifest, figures=changed), model.path)
    else:
        path = shelf.metrics[1] / "metrics.json"
        metrics = json.loads(path.read_text())
        if where == "value":
            metrics["model"]["P@1"] = "x\x1b[2J"
        else:
            metrics["intervals"]["model"]["P@1"] = [[], 1.0]
        path.write_text(json.dumps(metrics))
    page = tmp_path / "page.html"
    with pytest.raises(XmcpipeError, match=f"metrics/{shelf.metrics[1].name}: figures of this run"):
        make_report(named(shelf.runs(), ["ffi", "dense"]), ReportOptions(rounds=0), page)
    assert not page.exists()


def test_names_and_texts_stay_text(finished_shelf: Any, tmp_path: Path) -> None:
    text, _ = made(finished_shelf, tmp_path)
    assert SCRIPT not in text
    data = re.search(r'id="data">([^<]+)</script>', text)
    assert data
    documents = json.loads(gzip.decompress(base64.b64decode(data[1])))
    assert SCRIPT in [name for name, _ in documents["labels"]]
    assert any("</script><script>alert(2)" in each for each in documents["texts"])


def test_a_name_that_is_a_script_is_text_too(finished_shelf: Any, tmp_path: Path) -> None:
    runs = named(finished_shelf.runs(), [SCRIPT, "\x01"])
    path = tmp_path / "page.html"
    make_report(runs, ReportOptions(rounds=0), path)
    text = path.read_text(encoding="utf-8")
    assert SCRIPT not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text  # in a table
    assert "\\u003cscript\\u003ealert(1)" in text  # in a chart


def test_json_in_a_page_escapes_the_end_of_a_script() -> None:
    value = {"a": "</script><!-- & \u2028\u2029 ü"}
    text = render.as_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_the_same_runs_make_the_same_page(finished_shelf: Any, tmp_path: Path) -> None:
    assert made(finished_shelf, tmp_path)[0] == made(finished_shelf, tmp_path)[0]


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("raw", "No texts: the raw artifact was deleted"),
        ("shards", "No documents of ffi"),
        ("predictions", "No documents of ffi"),
        ("model", "No curves of ffi: its model"),
    ],
)
def test_a_missing_part_loses_its_section_and_not_the_page(
    shelf: Any, tmp_path: Path, kind: str, note: str
) -> None:
    shelf.lose(kind)
    text, facts = made(shelf, tmp_path)
    assert re.findall(r'<section id="(\w+)">', text) == list(SECTIONS)
    assert any(each.startswith(note) for each in facts["notes"]), facts["notes"]
    assert "deleted from the store" in text
    assert "no complete recipe" in text


def test_a_damaged_store_costs_sections_and_not_the_page(
    shelf: Any, tmp_path: Path, log_lines: list[str]
) -> None:
    first = shelf.runs()[0]
    for path in (
        first.artifacts["raw"].path / "test.parquet",
        first.artifacts["model"].path / "model.safetensors",
    ):
        path.write_bytes(path.read_bytes()[:-200])
    text, facts = made(shelf, tmp_path)
    assert re.findall(r'<section id="(\w+)">', text) == list(SECTIONS)
    assert facts["documents"] == 40
    assert "No texts: the raw artifact was deleted, or can't be read." in facts["notes"]
    assert any(each.startswith("No topology of ffi") for each in facts["notes"])
    assert "test.parquet can't be read" in log_lines[0]


def test_a_log_is_read_once_and_its_bad_lines_are_reported_once(
    shelf: Any, tmp_path: Path, log_lines: list[str]
) -> None:
    log = shelf.runs()[0].artifacts["model"].path / "log" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"kind": "train", "step": 70, "loss": NaN}\n{"kind": "tr')
    text, _ = made(shelf, tmp_path)
    assert "Connections that survived each rewiring" in text
    assert len(log_lines) == 1


@pytest.mark.parametrize(
    ("num_raw", "why"),
    [
        (0, "the dataset is unknown, because its raw artifact was deleted"),
        (1, "none are known for synthetic"),
        (2, "none are known for synthetic"),
    ],
)
def test_why_nothing_is_quoted(finished_shelf: Any, tmp_path: Path, num_raw: int, why: str) -> None:
    runs = [
        run if at < num_raw else dataclasses.replace(run, artifacts=without(run.artifacts, "raw"))
        for at, run in enumerate(finished_shelf.runs())
    ]
    facts = make_report(runs, ReportOptions(rounds=0, documents=0), tmp_path / "page.html")
    assert f"No published rows: {why}." in facts["notes"]
    title = "synthetic" if num_raw else "own data"
    assert f"<h1>{title}</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_missing_weights_and_unknown_settings_are_noted(shelf: Any, tmp_path: Path) -> None:
    run = shelf.runs()[0]
    (run.folder("model") / "model.safetensors").unlink()
    text, facts = made(shelf, tmp_path)
    assert "No topology of ffi: its weights were deleted, or can't be read." in facts["notes"]
    assert "not compared" not in text
    shutil.rmtree(run.folder("model"))
    text, _ = made(shelf, tmp_path)
    assert "The settings of train are not compared" in text
    assert "No setting differs" not in text


def without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


def test_a_note_states_that_older_logs_have_no_gradients(shelf: Any, tmp_path: Path) -> None:
    for run in shelf.runs():
        log = run.artifacts["model"].path / "log" / "metrics.jsonl"
        remaining = [line for line in log.read_text().splitlines(keepends=True) if '"gradient"' not in line]
        log.write_text("".join(remaining))
    text, facts = made(shelf, tmp_path)
    assert facts["notes"][1].startswith("No gradient norms")
    assert "Gradient of the encoder" not in text


def test_one_run_has_no_differences(finished_shelf: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    make_report(finished_shelf.runs()[:1], ReportOptions(rounds=20), path)
    text = path.read_text(encoding="utf-8")
    assert 'class="difference"' not in text
    assert "runs differ" not in text
    assert "Settings that differ" not in text


def test_published_rows_are_marked_as_quoted(tmp_path: Path) -> None:
    store, metrics = make_runs(tmp_path / "store", "amazon670k")
    runs = named([read_run(Artifact.at(path), store) for path in metrics])
    make_report(runs, ReportOptions(rounds=0, documents=0), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>Amazon-670K</h1>" in text
    assert text.count('<tr class="quoted">') == 12 + 24
    assert "Ullah et al. 2024, Tables 2, 4" in text
    assert "Quoted as published, not measured here" in text
    assert "arXiv 2411.03171" in text
    assert "No documents: --documents is 0." in text


def test_the_page_is_replaced_completely_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    output.write_whole(path, "old")
    with pytest.raises(TypeError):
        output.write_whole(path, None)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    output.write_whole(path, "new")
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_the_target_of_a_link_is_replaced_and_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "page.html", tmp_path / "elsewhere" / "real.html"
    link.symlink_to(target)
    output.write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_is_refused_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(XmcpipeError, match="expected a regular file"):
        make_report([], ReportOptions(), pipe)
    assert pipe.is_fifo()


def test_a_page_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(XmcpipeError, match="can't be written: File name too long"):
        make_report([], ReportOptions(), tmp_path / ("x" * 300))
    longest = tmp_path / ("x" * 255)
    output.write_whole(longest, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(XmcpipeError, match="can't be written: No space left"):
        output.write_whole(longest, "new")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(render, "find_spec", lambda name: None if name == "altair" else object())
    with pytest.raises(XmcpipeError, match="a report needs altair") as caught:
        make_report([], ReportOptions(), tmp_path / "page.html")
    assert "xmcpipe[report]" in caught.value.hint
