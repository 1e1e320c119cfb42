"""A tiny Debian mirror in a folder: parsing, both ways of fetching, and the errors of each."""

import hashlib
import lzma
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.data.sources import debian
from xmcpipe.data.sources.debian_index import Index, fetch_index
from xmcpipe.errors import XmcpipeError

PACKAGES = """\
Package: fox
Version: 1
Depends: den (>= 1.2), libc6:any | libc-virtual, fox-data (= 1)
Recommends: hen
Description: red animal
Description-md5: d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1

Package: fox-data
Description: data of fox
Description-md5: d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2
Suggests: fox,
 hen [amd64],
 g++-12

Package: fox
Version: 2
Depends: hen
Description: newer fox
Description-md5: d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1

Package: hen
Pre-Depends: den
Description: bird

Package: den
Description: home
Tag: role::app,
 use::living

Package: libc6
Description: C library

Package: g++-12
Description: compiler
"""
DESCRIPTIONS = """\
Package: fox
Description-md5: d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1
Description-en: red animal
 It is quick ä.
 .
 It jumps:
  * over dogs

Package: fox-data
Description-md5: d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2
Description-en: data of fox
"""
TEXTS = {
    "fox": "fox: red animal\nIt is quick ä.\n\nIt jumps:\n* over dogs",
    "fox-data": "fox-data: data of fox",
    "hen": "hen: bird",
    "den": "den: home",
    "libc6": "libc6: C library",
    "g++-12": "g++-12: compiler",
}
LABELS = {"fox": ["den", "fox-data", "hen", "libc6"], "fox-data": ["fox", "g++-12", "hen"]}


def write_mirror(folder: Path, packages: str = PACKAGES) -> str:
    """Write a mirror of one suite, `test`, with its Release file; returns its URL."""
    suite = folder / "dists/test"
    hashes = []
    for name, text in {"binary-amd64/Packages.xz": packages, "i18n/Translation-en.xz": DESCRIPTIONS}.items():
        path = suite / "main" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, data in ((path, lzma.compress(text.encode())), (path.with_suffix(""), text.encode())):
            file.write_bytes(data)
            listed = file.relative_to(suite)
            hashes.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {listed}")
    head = "Origin: Test\nSuite: test\nCodename: test\nArchitectures: amd64\nComponents: main\n"
    date = "Date: Sat, 11 Jul 2026 10:16:37 UTC\n"
    (suite / "Release").write_text(head + date + "SHA256:\n" + "\n".join(hashes) + "\n")
    return folder.as_uri()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    (tmp_path / "Packages").write_text(PACKAGES, encoding="utf-8")
    (tmp_path / "Translation-en").write_text(DESCRIPTIONS, encoding="utf-8")
    return Index(tmp_path / "Packages", tmp_path / "Translation-en", "folder")


def test_packages_are_documents_and_their_relations_labels(index: Index) -> None:
    packages = debian.read_packages(index)
    documents = next(iter(debian.documents(debian.choose(packages, 0, 0), packages)))
    assert dict(documents.select("id", "text").iter_rows()) == TEXTS
    labels = dict(documents.select("id", "labels").iter_rows())
    assert {name: names for name, names in labels.items() if names} == LABELS


def test_every_package_is_a_label_with_a_text(index: Index) -> None:
    table = debian.label_table(debian.read_packages(index))
    assert table["label"].to_list() == sorted(TEXTS)
    assert dict(table.iter_rows())["fox"] == "fox: red animal"


def test_descriptions_may_be_in_the_packages_alone(index: Index) -> None:
    packages = debian.read_packages(Index(index.packages, None, "folder"))
    assert (packages["fox"].short, packages["fox"].long) == ("red animal", "")


names = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True)
version = st.sampled_from(["", " (>= 1:2.0~rc1-3)", ":any", ":any (<< 4)", " [amd64 !i386]", " <!nocheck>"])
relation = st.tuples(names, version, st.sampled_from([", ", " | ", ",\n ", " |", ","]))


@given(st.lists(relation))
def test_any_relation_field_gives_its_names(relations: list[tuple[str, str, str]]) -> None:
    field = "".join("".join(parts) for parts in relations)
    assert debian.related_names(field) == [name for name, _, _ in relations]


def test_a_slice_is_reproducible_and_grows(index: Index) -> None:
    packages = {
        f"p{number}": debian.Package(f"p{number}", "", "", (f"p{number + 1}",)) for number in range(100)
    }
    few, more = debian.choose(packages, 20, 7), debian.choose(packages, 40, 7)
    assert len(few) == 20
    assert {package.name for package in few} < {package.name for package in more}
    assert [package.name for package in more] == [name for name in packages if name in {p.name for p in more}]
    assert debian.choose(packages, 20, 8) != few
    assert len(debian.choose(packages, 1000, 7)) == 99  # the label of the last one is not a package


def test_not_an_index(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text("<html>\n")
    with pytest.raises(XmcpipeError, match="is not a package index: a stanza has no Package"):
        debian.read_packages(Index(tmp_path / "Packages", None, "folder"))
    (tmp_path / "Packages").write_text("")
    with pytest.raises(XmcpipeError, match="has no packages"):
        debian.read_packages(Index(tmp_path / "Packages", None, "folder"))


def test_fetching_without_apt(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path / "mirror")
    index = fetch_index(mirror, "test", "https", tmp_path)
    assert index.packages.read_text() == PACKAGES
    assert index.descriptions is not None
    assert index.descriptions.read_text() == DESCRIPTIONS
    # a complete index is not downloaded again
    shutil.rmtree(tmp_path / "mirror/dists/test/main")
    assert fetch_index(mirror, "test", "https", tmp_path).sha256() == index.sha256()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not installed")
def test_fetching_with_apt_gives_the_same(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path / "mirror")
    with_apt = fetch_index(mirror, "test", "apt", tmp_path / "scratch with a blank")
    assert with_apt.via == "apt-get"
    assert with_apt.sha256() == fetch_index(mirror, "test", "https", tmp_path).sha256()


def test_apt_is_kept_off_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub of apt-get records its call: every path that it may write to is in our folder."""
    stub = tmp_path / "bin/apt-get"
    stub.parent.mkdir()
    stub.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" >"$(dirname "$3")/called"; echo "E: no net" >&2; exit 100\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(XmcpipeError, match=r"failed for http://a\.b/debian test: E: no net"):
        fetch_index("http://a.b/debian", "test", "apt", tmp_path)
    folder = tmp_path / "apt"
    assert (folder / "called").read_text().split("\n")[:4] == ["-q", "-c", str(folder / "apt.conf"), "update"]
    settings = dict(
        line.rstrip('";').split(' "', 1)
        for line in (folder / "apt.conf").read_text().splitlines()
        if line[0] != "#"
    )
    assert settings["Dir::State::Lists"] == str(folder / "lists")
    assert settings["Dir::Cache"] == str(folder / "cache")
    assert settings["Dir::Etc::sourcelist"] == str(folder / "sources.list")
    assert settings["Dir::Etc::sourceparts"] == "/dev/null"
    assert (folder / "sources.list").read_text().endswith("] http://a.b/debian test main\n")


def test_without_apt_auto_goes_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert fetch_index(write_mirror(tmp_path / "mirror"), "test", "auto", tmp_path).via == "https"
    with pytest.raises(XmcpipeError, match=r"apt-get is not installed .set via = 'https'"):
        fetch_index("http://a.b/debian", "test", "apt", tmp_path)


def test_a_changed_index_is_refused(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path / "mirror")
    path = tmp_path / "mirror/dists/test/main/binary-amd64/Packages.xz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(XmcpipeError, match=r"Packages\.xz: expected sha256 .*, as in the Release file, got"):
        fetch_index(mirror, "test", "https", tmp_path)
    assert not list(tmp_path.glob("*Packages*"))


@pytest.mark.parametrize(
    ("mirror", "suite", "fault"),
    [
        (
            "file:///nowhere/at/all",
            "test",
            "Release can't be fetched: .*No such file.*check the network, mirror",
        ),
        ("http://127.0.0.1:9", "test", "https://127.0.0.1:9/dists/test/Release can't be fetched: .*refused"),
        ("deb.debian.org", "test", "expected a URL as mirror and a name as suite"),
        ("http://a b", "test", "expected a URL as mirror and a name as suite"),
        ("http://a", "test main\ndeb", "expected a URL as mirror and a name as suite"),
    ],
)
def test_a_missing_mirror(tmp_path: Path, mirror: str, suite: str, fault: str) -> None:
    with pytest.raises(XmcpipeError, match=fault):
        fetch_index(mirror, suite, "https", tmp_path)


def test_a_suite_without_packages(tmp_path: Path) -> None:
    release = tmp_path / "dists/test/Release"
    release.parent.mkdir(parents=True)
    release.write_text("Suite: test\n")
    with pytest.raises(XmcpipeError, match="lists no sha256"):
        fetch_index(tmp_path.as_uri(), "test", "https", tmp_path)
    release.write_text(f"SHA256:\n {'0' * 64} 1 contrib/Packages\n")
    with pytest.raises(XmcpipeError, match="has no main/binary-amd64/Packages"):
        fetch_index(tmp_path.as_uri(), "test", "https", tmp_path)
