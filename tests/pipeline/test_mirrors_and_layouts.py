"""A miniature archive of every layout from a mirror of every kind, up to the raw artifact."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from tests import layout_folders
from tests.small_sets import use_registry
from tests.web_site import Site, running_site
from xmcpipe.cli.app import app
from xmcpipe.data.fetch import dropbox, gdrive, transfer

COUNTS = {"name": "mini", "train": 5, "test": 2, "labels": 5, "source": "us"}
FORM = (
    b'<html><form id="download-form" action="/get"><input type="hidden" name="uuid" value="1"></form></html>'
)
ADDRESSES = {"gdrive": "1234567890", "dropbox": "abc/h?rlkey=key"}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdrive, "BASE", site.address)
    monkeypatch.setattr(dropbox, "BASE", site.address)
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XMCPIPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("no_proxy", "*")
    site.paths.clear()
    site.requests.clear()


def packed(folder: Path, kind: str) -> bytes:
    """The folder as a .tar.gz or, from Dropbox, a .zip."""
    buffer = io.BytesIO()
    if kind == "dropbox":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder.parent))
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(folder, "set")
    return buffer.getvalue()


def serve(site: Site, kind: str, body: bytes) -> str:
    """Serve the archive from a mirror of this kind, over a connection that breaks; returns its address."""
    if kind == "https":
        site.put("/set.tar.gz", body, cuts=[len(body) // 3, 1])
        return f"{site.address}/set.tar.gz"
    if kind == "gdrive":
        site.put("/uc", FORM, kind="text/html")
        site.put("/get", body, cuts=[len(body) // 2])
    else:
        site.put("/scl/fo/abc/h?rlkey=key&dl=1", body, length=False, ranges=False, etag="", cuts=[40])
    return ADDRESSES[kind]


def download(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["download", "tiny", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("kind", ["https", "gdrive", "dropbox"])
@pytest.mark.parametrize("layout", sorted(layout_folders.MAKERS))
def test_a_miniature_is_downloaded_and_read(
    layout: str, kind: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout_folders.MAKERS[layout](tmp_path / "set")
    body = packed(tmp_path / "set", kind)
    address = serve(site, kind, body)
    use_registry(
        tmp_path, monkeypatch, {"kind": kind, "address": address, "layout": layout}, versions=[COUNTS]
    )
    made = download()
    figures = made["figures"]
    assert (figures["version"], figures["layout"]) == ("mini", layout)
    assert {key: figures[key] for key in ("train", "test", "labels")} == {"train": 5, "test": 2, "labels": 5}
    raw = Path(made["path"])
    names = pl.read_parquet(raw / "labels.parquet")["label"].to_list()
    assert sorted(names) == sorted(layout_folders.NAMES)
    for split, documents in (("train", layout_folders.TRAIN), ("test", layout_folders.TEST)):
        frame = pl.read_parquet(raw / f"{split}.parquet")
        found = [
            (text, {names[label] for label in labels})
            for text, labels in frame.select("text", "labels").iter_rows()
        ]
        expected = [(text, {layout_folders.NAMES[label] for label in labels}) for text, labels in documents]
        assert found == expected
    from_folder = download("--from", str(tmp_path / "set"), "--store", str(tmp_path / "other"))
    for split in ("train", "test", "labels"):
        frames = [pl.read_parquet(Path(each["path"]) / f"{split}.parquet") for each in (made, from_folder)]
        assert frames[0].equals(frames[1])


def test_a_mirror_whose_layout_differs_from_the_registered_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout_folders.pecos(tmp_path / "set")
    for layout, found in (("x_y", "pecos"), ("xtransformer", "xtransformer")):
        if layout == "xtransformer":  # both layouts are there now: the registry decides
            layout_folders.xtransformer(tmp_path / "set")
        site.put(f"/{layout}", packed(tmp_path / "set", "https"))
        mirror = {"kind": "https", "address": f"{site.address}/{layout}", "layout": layout}
        use_registry(tmp_path, monkeypatch, mirror, versions=[COUNTS])
        assert download("--force")["figures"]["layout"] == found


def test_titles_only_uses_mirrors_with_separate_titles(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for layout in ("pecos", "xc_raw"):
        layout_folders.MAKERS[layout](tmp_path / layout)
    documents = tmp_path / "xc_raw/trn.json.gz"
    filled = gzip.decompress(documents.read_bytes()).replace(b'"content": ""', b'"content": "long"')
    layout_folders.write(documents, filled)
    for layout in ("pecos", "xc_raw"):
        site.put(f"/{layout}", packed(tmp_path / layout, "https"))
    mirrors = [
        {"kind": "https", "address": f"{site.address}/{name}", "layout": name} for name in ("pecos", "xc_raw")
    ]
    titled = ("--set", "download.titles_only=true")
    use_registry(tmp_path, monkeypatch, *mirrors, versions=[COUNTS], fields=("title", "content"))
    texts = pl.read_parquet(Path(download(*titled)["path"]) / "train.parquet")["text"].to_list()
    assert texts == [text for text, _ in layout_folders.TRAIN]
    assert [path for path, _ in site.requests] == ["/xc_raw"]
    whole = download("--from", str(tmp_path / "xc_raw"))
    texts = pl.read_parquet(Path(whole["path"]) / "train.parquet")["text"].to_list()
    assert texts == [f"{text} long".strip() for text, _ in layout_folders.TRAIN]
    lines = ["download", "tiny", *titled, "--from", str(tmp_path / "pecos")]
    refused = CliRunner().invoke(app, lines)
    assert refused.exit_code == 2
    assert "expected documents with titles, got layout pecos" in refused.stderr
    use_registry(tmp_path, monkeypatch, mirrors[0], versions=[COUNTS], fields=("title", "content"))
    nobody = CliRunner().invoke(app, ["download", "tiny", "--force", *titled])
    assert "Tiny-5: expected a mirror with titles separate from texts, got none" in nobody.stderr
    # if a document is only its title, every layout has titles
    use_registry(tmp_path, monkeypatch, mirrors[0], versions=[COUNTS])
    assert download(*titled, "--force")["figures"]["layout"] == "pecos"


def test_bags_of_words_are_refused_with_the_mirror_that_has_text(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, {"kind": "gdrive", "address": "1234567890", "layout": "x_y"})
    layout_folders.write(tmp_path / "set/train.txt", b"2 3 2\n0 1:0.5\n1 2:1.0\n")
    (tmp_path / "set.tar.gz").write_bytes(packed(tmp_path / "set", "https"))
    for given in ("set", "set.tar.gz"):
        result = CliRunner().invoke(app, ["download", "tiny", "--from", str(tmp_path / given)])
        assert result.exit_code == 2
        page = f"{site.address}/file/d/1234567890/view"
        assert f"holds bags of words and no text (text is needed; these have it: {page})" in result.stderr


def test_a_dataset_without_its_filter_pairs_is_reported(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = {"kind": "gdrive", "address": "1234567890", "layout": "xc_raw"}
    names = ("filter_labels_train.txt", "filter_labels_test.txt")
    use_registry(tmp_path, monkeypatch, mirror, versions=[COUNTS], filters=names)
    layout_folders.xc_raw(tmp_path / "set")
    assert download("--from", str(tmp_path / "set"))["figures"]["version"] == "mini"
    (tmp_path / "set/filter_labels_test.txt").unlink()
    result = CliRunner().invoke(app, ["download", "tiny", "--from", str(tmp_path / "set")])
    assert result.exit_code == 0
    assert "Tiny-5 comes without filter_labels_test.txt: pairs that published figures" in result.stderr
    assert "version mini, without its filter pairs" in result.stdout
