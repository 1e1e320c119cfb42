"""The pages for readers: every relative link leads to a file or folder, and every anchor to a heading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for folder in ("docs", "kernels", "results", "xmcpipe") for page in (ROOT / folder).rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
NAMED_PATH = re.compile(r"`([\w./-]+(?:/|\.(?:py|cuh?|md|toml)))`")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(CODE.sub("", page.read_text("utf-8")))
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page.parent / path if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}"


def test_the_architecture_names_files_that_exist() -> None:
    """Paths in backticks are relative to the root, or to xmcpipe/; capitals stand for a new name."""
    text = re.sub(r"```.*?```", "", (ROOT / "ARCHITECTURE.md").read_text("utf-8"), flags=re.DOTALL)
    paths = [path for path in NAMED_PATH.findall(text) if not re.search(r"/[A-Z]+\.", path)]
    assert paths
    missing = [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "xmcpipe"))]
    assert missing == []
