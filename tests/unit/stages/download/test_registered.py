"""`download` of a registered set: from its mirrors or by hand, complete and counted."""

import hashlib
from pathlib import Path

import pytest

from tests.small_sets import COUNTS, FILES, LABELS, tar_of, use_registry, zip_of
from tests.unit.stages.download.tiny_dataset import DROPBOX, GDRIVE, SHORT, https, require_whole, run
from tests.web_site import Site
from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.download import DOWNLOAD, DownloadConfig


def test_from_a_plain_url(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    served = site.put("/tiny.tar.gz", tar_of(), cuts=[100])
    result = run(tmp_path)
    require_whole(tmp_path / "out-0")
    assert {key: result.figures[key] for key in COUNTS} == COUNTS
    assert (result.figures["version"], result.figures["layout"]) == ("one", "lines")
    assert result.source == hashlib.sha256(served.body).hexdigest()
    assert run(tmp_path) == result
    assert len(site.requests) == 2  # once, in two pieces


def test_from_google_drive_after_its_page(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, GDRIVE)
    form = b'<html><form id="download-form" action="/get"><input type="hidden" name="uuid" value="1"></form>'
    site.put("/uc", form, kind="text/html")
    site.put("/get", zip_of(), cuts=[10])
    run(tmp_path)
    require_whole(tmp_path / "out-0")


def test_from_a_dropbox_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, DROPBOX)
    site.put("/scl/fo/abc/h?rlkey=key&dl=1", zip_of(), length=False, ranges=False, etag="")
    run(tmp_path)
    require_whole(tmp_path / "out-0")


def test_when_no_mirror_works_data_can_be_accepted_as_it_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, https(site), DROPBOX)
    site.put("/tiny.tar.gz", tar_of(SHORT))
    with pytest.raises(
        XmcpipeError, match=r"Tiny-5: none of its 2 mirrors has a valid archive \(download .*page\.example/xc"
    ):
        run(tmp_path)
    assert list((tmp_path / "out-0").iterdir()) == []
    assert not list((tmp_path / "cache/archives/tiny").glob("*.archive"))
    (part,) = (tmp_path / "cache/archives/tiny").glob("*.part")
    assert run(tmp_path, archive=str(part)).figures["test"] == 1


TWO = [{"name": "one", **COUNTS, "source": "us"}, {"name": "two", **COUNTS, "labels": 9, "source": "them"}]


def test_an_unknown_version_is_reported_and_not_required(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    use_registry(tmp_path, monkeypatch, https(site), versions=TWO)
    site.put("/tiny.tar.gz", tar_of())
    assert run(tmp_path).figures["version"] == "one"
    use_registry(tmp_path, monkeypatch, https(site, "/short"), versions=TWO)
    site.put("/short", tar_of(SHORT))
    assert run(tmp_path).figures["version"] == "unknown"
    assert log_lines == [
        "Tiny-5 has 6 + 1 documents, 5 labels, which match no published version: "
        "6 + 2 documents, 5 labels (us); 6 + 2 documents, 9 labels (them)"
    ]
    use_registry(tmp_path, monkeypatch, https(site, version="two"), versions=TWO)
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        run(tmp_path)


def test_numbers_that_no_source_states_are_not_verified(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unstated = {"name": "one", **COUNTS, "train": 0, "test": 0}
    use_registry(tmp_path, monkeypatch, https(site), versions=[unstated])
    site.put("/tiny.tar.gz", tar_of(SHORT))
    result = run(tmp_path)
    assert (result.figures["version"], result.figures["test"]) == ("one", 1)
    use_registry(tmp_path, monkeypatch, https(site, "/other"), versions=[{**unstated, "labels": 7}])
    site.put("/other", tar_of(SHORT))
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        run(tmp_path)


def test_a_label_that_only_the_test_has_counts_or_not(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, https(site), versions=[{"name": "one", **COUNTS, "labels": 4}])
    site.put("/tiny.tar.gz", tar_of())
    assert run(tmp_path).figures["labels"] == 5  # d is unseen: four labels without it


def test_by_hand(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[str]) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    archive, folder = tmp_path / "mine.tgz", tmp_path / "mine"
    archive.write_bytes(tar_of(SHORT))
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    result = run(tmp_path, archive=str(archive))
    assert result.source == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert "which match no published version" in "".join(log_lines)  # a miniature is as good as any
    assert run(tmp_path, archive=str(folder)).figures["version"] == "one"
    require_whole(tmp_path / "out-1")
    assert site.requests == []
    source = DOWNLOAD.source
    assert source is not None
    config = from_table(DownloadConfig, {"dataset": "tiny", "archive": str(folder)}, "download")
    before = source(config)
    (folder / "README").write_text("not read")
    assert source(config) == before
    (folder / "tiny/labels.lines").write_text(LABELS[::-1])
    assert source(config) != before


def test_by_hand_and_wrong(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    (tmp_path / "page.zip").write_text("<html>")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "none.zip": "expected an archive or a folder, but .*none.zip does not exist",
        "page.zip": "page.zip was not unpacked: expected tar.gz, zip or gz, got a file that begins with b'<h",
        "empty": "empty holds no dataset of a known layout",
    }.items():
        with pytest.raises(XmcpipeError, match=message):
            run(tmp_path, archive=str(tmp_path / name))


def test_policies_keep_everything_by_default(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    site.put("/tiny.tar.gz", tar_of())
    result = run(tmp_path, repeated="drop", no_labels="drop", min_label_count=1)
    assert (result.figures["train"], result.figures["test"], result.figures["labels"]) == (4, 2, 4)
    assert result.figures["repeated_texts"] == 1
    with pytest.raises(XmcpipeError, match="1 documents repeat an earlier text"):
        run(tmp_path, repeated="refuse")
    assert len(site.requests) == 1  # the archive is not at fault, and stays


def test_keys_of_other_datasets(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    for table, message in (
        ({"dataset": "tiny", "documents": 5}, "documents can.t be set: the dataset tiny has no"),
        ({"dataset": "debian", "archive": "x"}, "archive can.t be set: the dataset debian has no"),
        ({"dataset": "tyni"}, r"there is no dataset 'tyni' \(did you mean 'tiny'"),
        ({"dataset": ["tiny"]}, "expected a string"),
    ):
        with pytest.raises(XmcpipeError, match=message):
            from_table(DownloadConfig, table, "download")
