"""Which files of the repository are on the site, where, and how a page links to them."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"(\]\()([^)\s]+)(\))")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
CODE_PAGES = {".py": "python", ".toml": "toml", ".pyi": "python"}  # shown as pages; other files as they are
OVERVIEW = "README.md"  # of the repository; the home of the site is docs/README.md


def site_uri(source: str, root: Path) -> str:
    """The place on the site of a file or folder of the repository."""
    path = root / source
    if source == OVERVIEW:
        return "overview.md"
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    if path.is_dir():
        readme = f"{source}/README.md"
        return readme if (root / readme).is_file() else f"{source}/index.md"
    return f"{source}.md" if path.suffix in CODE_PAGES else source


def linked(text: str, source: str) -> Iterator[str]:
    """What the page `source` links to in the repository, without anchors."""
    for match in LINK.finditer(CODE.sub("", text)):
        target = match[2].partition("#")[0]
        if target and "://" not in target:
            yield posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def reachable(root: Path) -> list[str]:
    """All files and folders that the pages of docs/ lead to, and what these lead to; pages of docs/ first."""
    found = dict.fromkeys(page.relative_to(root).as_posix() for page in sorted(root.glob("docs/*.md")))
    waiting = list(found)
    while waiting:
        source = waiting.pop(0)
        for target in _next(source, root):
            if target not in found and (root / target).exists():
                found[target] = None
                waiting.append(target)
    return list(found)


def _next(source: str, root: Path) -> list[str]:
    path = root / source
    if path.is_dir():
        return _children(source, root)
    return list(linked(path.read_text(encoding="utf-8"), source)) if path.suffix == ".md" else []


def _children(source: str, root: Path) -> list[str]:
    names = sorted(path.name for path in (root / source).iterdir())
    return [f"{source}/{name}" for name in names if not name.startswith(("__pycache__", "."))]


def turned(text: str, source: str, root: Path) -> str:
    """The page `source` with its links as they are on the site."""
    here = posixpath.dirname(site_uri(source, root)) or "."

    def turn(match: re.Match[str]) -> str:
        target, mark, anchor = match[2].partition("#")
        if not target or "://" in target:
            return match[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (root / named).exists():
            return match[0]  # MkDocs reports it
        return f"{match[1]}{posixpath.relpath(site_uri(named, root), here)}{mark}{anchor}{match[3]}"

    parts = CODE.split(text)
    return "".join(part if place % 2 else LINK.sub(turn, part) for place, part in enumerate(parts))


def content(source: str, root: Path) -> str | None:
    """The Markdown of a page that stands for code or a folder; None for files that are shown as they are."""
    path = root / source
    if path.is_dir():
        names = (name.rpartition("/")[2] for name in _children(source, root))
        lines = [f"- [{name}]({name})" for name in names]
        return turned(f"# {source}/\n\n" + "\n".join(lines) + "\n", f"{source}/index.md", root)
    if path.suffix in CODE_PAGES:
        return f"# {source}\n\n````{CODE_PAGES[path.suffix]}\n{path.read_text(encoding='utf-8')}````\n"
    return None
