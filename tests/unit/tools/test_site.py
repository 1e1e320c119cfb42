"""The site: links are turned to where files are on it, and what it generates from the code is complete."""

import re
from pathlib import Path

import pytest

import xmcpipe
from tools.site import api_page, sources
from tools.site.keys_page import keys_page
from xmcpipe.keys import keys
from xmcpipe.stages import catalog

ROOT = Path(__file__).parents[3]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {
        "README.md": "the repository",
        "docs/README.md": "[a](a.md) [code](../src/a.py) [folder](../src) [r](../results) [o](../README.md)",
        "docs/a.md": "[r](../results/README.md#top) `[no](../src)` [web](https://example.org/../src)",
        "results/README.md": "[back](../docs/a.md) [data](x.json) [out](#top)",
        "results/x.json": "{}",
        "src/a.py": "print('a')\n",
        "src/b.toml": "b = 1\n",
        "unlinked.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_pages_lead_to_is_on_the_site(repository: Path) -> None:
    found = sources.reachable(repository)
    assert found[:2] == ["docs/README.md", "docs/a.md"]
    assert sorted(found[2:]) == [
        "README.md", "results", "results/README.md", "results/x.json", "src", "src/a.py", "src/b.toml",
    ]  # fmt: skip


def test_links_are_turned_to_the_places_on_the_site(repository: Path) -> None:
    def turned(source: str) -> str:
        return sources.turned((repository / source).read_text(), source, repository)

    assert turned("docs/README.md") == (
        "[a](a.md) [code](src/a.py.md) [folder](src/index.md) [r](results/README.md) [o](overview.md)"
    )
    assert turned("docs/a.md") == (
        "[r](results/README.md#top) `[no](../src)` [web](https://example.org/../src)"
    )
    assert turned("results/README.md") == "[back](../a.md) [data](x.json) [out](#top)"


def test_code_and_folders_become_pages(repository: Path) -> None:
    assert sources.content("src/a.py", repository) == "# src/a.py\n\n````python\nprint('a')\n````\n"
    assert sources.content("src", repository) == "# src/\n\n- [a.py](a.py.md)\n- [b.toml](b.toml.md)\n"
    assert sources.content("results/x.json", repository) is None


def test_every_page_is_in_the_navigation_and_in_the_list_of_pages() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"- (?:\w+: )?(\S+\.md)$", navigation, re.MULTILINE)
    assert len(set(listed)) == len(listed)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages - set(listed) == set()
    assert [name for name in sorted(pages - {"README.md"}) if f"]({name})" not in index] == []


def test_the_page_of_keys_has_every_key_with_its_default() -> None:
    page = keys_page()
    for stage in catalog.CATALOG:
        section = page.partition(f"## {stage.name}\n")[2].partition("\n## ")[0]
        for key in keys(stage.config):
            assert f"| `{key.name}` |" in section
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert all(len(re.split(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert "| `fan_in` " not in page
    assert re.search(r'\| `head.fan_in` \| integer or "auto" \| `"auto"` \|', page)


def test_the_page_of_the_api_has_every_public_name_and_method() -> None:
    page = api_page.api_page()
    for name in {*xmcpipe.__all__} - {"__version__"}:
        assert f"## xmcpipe.{name}\n" in page
    for member in ("Model.predict", "Model.labels", "XMCClassifier.fit", "XMCClassifier.load"):
        assert f"### {member}\n" in page
    assert "    texts: str | Iterable[str],\n    k: int = 5,\n" in page
    assert "    device: str = 'auto',\n" in page
    assert "| `frozen` | train the output layer alone" in page
    signatures = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(signatures) > 12
    for each in signatures:
        assert "self" not in each
        assert not re.search(r"<|NoneType|xmcpipe\.\w+\.", each), each


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {xmcpipe.__version__}\n" in citation
    assert "\nlicense: MIT\n" in citation
