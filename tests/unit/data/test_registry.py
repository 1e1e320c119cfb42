"""The registry: the file of the package, and the errors for a faulty one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from xmcpipe.data import registry
from xmcpipe.data.registry import FILE, Counts, datasets, find, load
from xmcpipe.errors import XmcpipeError

MIRROR = {"kind": "https", "address": "https://a.example/b.tar.gz", "layout": "pecos"}
COUNTS = {"name": "paper", "train": 10, "test": 5, "labels": 3}
TINY: dict[str, Any] = {
    "title": "Tiny",
    "versions": [COUNTS],
    "mirrors": [MIRROR],
    "propensity": [{"a": 0.5, "b": 1.5, "source": "us"}],
    "text_fields": ["title"],
    "labels_per_document": 2.5,
    "page": "https://a.example",
    "licence": "none",
    "citation": "us 2026",
}


def written(folder: Path, **facts: Any) -> Path:
    """Write a registry of one dataset, `tiny`; facts that are None are omitted."""

    def value(of: Any) -> str:
        if isinstance(of, dict):
            return "{" + ", ".join(f"{key} = {value(each)}" for key, each in of.items()) + "}"
        return "[" + ", ".join(map(value, of)) + "]" if isinstance(of, list) else repr(of)

    lines = [f"{key} = {value(of)}" for key, of in {**TINY, **facts}.items() if of is not None]
    (folder / "r.toml").write_text("[tiny]\n" + "\n".join(lines) + "\n")
    return folder / "r.toml"


def test_the_sets_and_their_sizes() -> None:
    """Copied from the paper's Table 1, the XC repository and HASTE's, independently of the file."""
    known = {name: [(v.train, v.test, v.labels) for v in each.versions] for name, each in datasets().items()}
    assert known == {
        "eurlex4k": [(15449, 3865, 3956), (15539, 3809, 3993)],
        "wiki10_31k": [(14146, 6616, 30938)],
        "amazoncat13k": [(1186239, 306782, 13330)],
        "wiki500k": [(1779881, 769421, 501070), (1813391, 783743, 501070)],
        "amazon670k": [(490449, 153025, 670091)],
        "amazontitles670k": [(485176, 150875, 670091)],
        "amazon3m": [(1717899, 742507, 2812281)],
        "lf_amazontitles131k": [(294805, 134835, 131073)],
        "lf_wikiseealso320k": [(693082, 177515, 312330)],
        "lf_amazontitles1_3m": [(2248619, 970237, 1305265)],
        "lf_paper2keywords8_6m": [(0, 0, 8623847)],
    }


def test_propensity_constants_depend_on_the_source_of_the_texts() -> None:
    amazon, wikipedia, other = (0.6, 2.6), (0.5, 0.4), (0.55, 1.5)
    expected = {name: [amazon] for name in datasets() if "amazon" in name} | {"wiki500k": [wikipedia]}
    expected |= {name: [other] for name in ("eurlex4k", "amazoncat13k")}
    # where sources disagree, both are listed, the paper's first
    expected |= {name: [wikipedia, other] for name in ("wiki10_31k", "lf_wikiseealso320k")}
    expected |= {"lf_paper2keywords8_6m": [amazon, wikipedia]}  # those of HASTE, then those of ELMO
    assert {name: [(p.a, p.b) for p in each.propensity] for name, each in datasets().items()} == expected


def test_archive_org_is_first_and_label_features_need_filter_pairs() -> None:
    for name, each in datasets().items():
        first = each.mirrors[0]
        if name.startswith("lf_"):
            assert first.layout == "xc_raw"
            filters = ("filter_labels_train.txt", "filter_labels_test.txt")
            assert each.filter_files == (() if name == "lf_paper2keywords8_6m" else filters)
        elif name != "amazontitles670k":
            assert first.address.startswith("https://archive.org/download/pecos-dataset/xmc-base/")
    assert sum(len(each.mirrors) for each in datasets().values()) == 37
    assert {m.encoding for m in find("amazoncat13k").mirrors if m.layout == "xc_raw"} == {"latin-1"}
    addresses = [mirror.address for each in datasets().values() for mirror in each.mirrors]
    assert len(set(addresses)) == len(addresses)


def test_the_version_of_a_mirror_is_registered_or_stated_to_be_unknown() -> None:
    wiki = find("wiki500k")
    known = [wiki.counts_of(mirror) for mirror in wiki.mirrors]
    assert known == [wiki.versions[0], None, None, None, None]
    assert {find("amazon3m").counts_of(mirror) for mirror in find("amazon3m").mirrors} == {
        Counts("paper", 1717899, 742507, 2812281)
    }
    eurlex = find("eurlex4k")
    assert eurlex.counts_of(eurlex.mirrors[-1]) == eurlex.versions[1]
    assert str(eurlex.versions[1]) == "15,539 + 3,809 documents, 3,993 labels"


def test_numbers_of_documents_that_no_source_states_are_not_compared() -> None:
    unknown = find("lf_paper2keywords8_6m").versions[0]
    assert str(unknown) == "? + ? documents, 8,623,847 labels"
    assert unknown.agrees({"train": 7, "test": 3})
    half = Counts("half", 7, 0, 3)
    assert half.agrees({"train": 7, "test": 3})
    assert not half.agrees({"train": 8, "test": 3})
    assert not Counts("all", 7, 2, 3).agrees({"train": 7, "test": 3})


def test_it_comes_with_the_package() -> None:
    assert Path(registry.__file__).parent / "datasets.toml" == FILE
    build = tomllib.loads((FILE.parents[2] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["packages"] == ["xmcpipe"]


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(XmcpipeError, match=r"unknown dataset 'amazon-670k' \(did you mean 'amazon670k'"):
        find("amazon-670k")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"titel": "x"}, r"r\.toml: tiny: there is no key 'titel' \(did you mean 'title'"),
        ({"page": None}, r"tiny: the key 'page' is missing"),
        ({"licence": 3}, r"tiny\.licence: .*\b3\b"),
        ({"mirrors": []}, "expected one or more mirrors, got none"),
        ({"versions": []}, "expected one or more versions, got none"),
        ({"propensity": []}, "expected one or more propensity, got none"),
        ({"text_fields": []}, "expected one or more text_fields, got none"),
        ({"mirrors": [{**MIRROR, "kind": "ftp"}]}, r"mirrors\.kind: .*'https', 'gdrive'"),
        (
            {"mirrors": [{**MIRROR, "layout": "peco"}]},
            r"tiny\.mirrors: unknown layout 'peco' \(did you mean 'pecos'",
        ),
        ({"mirrors": [{**MIRROR, "address": "ftp://a"}]}, "expected an address of kind https, got 'ftp://a'"),
        ({"mirrors": [{**MIRROR, "kind": "gdrive"}]}, "expected an address of kind gdrive"),
        (
            {"mirrors": [{**MIRROR, "kind": "dropbox", "address": "abc"}]},
            "expected an address of kind dropbox, got 'abc'",
        ),
        (
            {"mirrors": [{**MIRROR, "sha256": "A" * 64}]},
            "expected sha256 as 64 lower-case hex digits, got 'AAA",
        ),
        ({"mirrors": [{**MIRROR, "bytes": -1}]}, "bytes = -1"),
        (
            {"mirrors": [{**MIRROR, "version": "new"}]},
            "expected one of the versions paper in a mirror, got 'new'",
        ),
        ({"mirrors": [MIRROR, MIRROR]}, "the same mirror is listed twice"),
        ({"versions": [COUNTS, COUNTS]}, "expected versions with distinct names"),
        ({"versions": [{**COUNTS, "labels": 0}]}, "labels = 0"),
        ({"versions": [{**COUNTS, "train": -1}]}, "train = -1"),
    ],
)
def test_a_faulty_registry_is_an_error_that_names_the_fault(
    tmp_path: Path, facts: dict[str, Any], says: str
) -> None:
    with pytest.raises(XmcpipeError, match=says):
        load(written(tmp_path, **facts))


def test_one_without_a_fault(tmp_path: Path) -> None:
    (tiny,) = load(written(tmp_path)).values()
    assert (tiny.name, tiny.title, tiny.versions) == ("tiny", "Tiny", (Counts("paper", 10, 5, 3),))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tiny\n", "can't be read: "),
        ("tiny = 3\n", r"expected a table tiny, got 3 \(write \[tiny\]"),
        (b"\xff", "can't be read: .*utf-8"),
        (None, "can't be read: .*No such file"),
    ],
)
def test_a_file_that_is_no_registry(tmp_path: Path, text: str | bytes | None, says: str) -> None:
    path = tmp_path / "r.toml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(XmcpipeError, match=says):
        load(path)
