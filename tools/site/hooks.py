"""What MkDocs calls while it builds the site; mkdocs.yml names this file."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from tools.site.api_page import api_page
from tools.site.keys_page import keys_page
from tools.site.sources import content, reachable, site_uri, turned

ROOT = Path(__file__).parents[2]
GENERATED = {"<!-- keys -->": keys_page, "<!-- api -->": api_page}
_sources: dict[str, str] = {}  # place on the site -> page of the repository


def on_files(files: Files, config: Any) -> Files:
    """Add what the pages link to beside docs/."""
    for source in reachable(ROOT):
        uri, text = site_uri(source, ROOT), content(source, ROOT)
        if source.endswith(".md"):
            _sources[uri] = source
        if source.startswith("docs/"):
            continue
        if text is not None:
            files.append(File.generated(config, uri, content=text))
        elif (ROOT / source).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page of the repository, and fill in what is generated."""
    source = _sources.get(page.file.src_uri)
    if source is None:
        return markdown
    markdown = turned(markdown, source, ROOT)
    for mark, generate in GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, generate())
    return markdown
