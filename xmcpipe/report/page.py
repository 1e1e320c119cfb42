"""The page: one HTML file with its style, its scripts, its charts and its documents inside.

Nothing in it comes from a network, and its Content-Security-Policy forbids it to ask: scripts run by their
hashes alone, so that no text of a data set can ever become one. Jinja2 escapes what goes into HTML; JSON goes
into script elements that no browser runs, with every character escaped that HTML or JavaScript might take
for its own.
"""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xmcpipe.errors import XmcpipeError

HERE = Path(__file__).parent
BUNDLED = "window.vegaEmbed = vegaEmbed;"  # what page.js calls; the bundle holds Vega and Vega-Lite too
PACKAGES = ("altair", "vl_convert", "jinja2")
ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


def require_packages() -> None:
    """Raise XmcpipeError unless the packages of the extra `report` are installed."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise XmcpipeError(
            f"a report needs {', '.join(absent)}, which isn't installed", "pip install 'xmcpipe[report]'"
        )


def render(context: Mapping[str, Any], documents: Mapping[str, Any] | None) -> str:
    """The page's text. `context` is what page.html.j2 names, `documents` the columns of the sample."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["as_json"] = lambda value: Markup(as_json(value))
    scripts = [_vega(), _inline((HERE / "page.js").read_text(encoding="utf-8"))]
    return environment.get_template("page.html.j2").render(
        **context,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        documents=None if documents is None else packed(documents),
    )


def as_json(value: Any) -> str:
    """JSON that may stand in a script element of a page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(ESCAPES)


def packed(value: Any) -> str:
    """JSON, gzipped (the same bytes at any time), in base64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


def write_whole(path: Path, text: str) -> None:
    """Write beside `path` and rename: a reader sees the old page or the new one, never a half.

    Where `path` is a link, the file that it points to is replaced. Raises XmcpipeError where that fails.
    """
    place = Path(os.path.realpath(path))
    # short, for the page's own name may be as long as names can be
    beside = place.with_name(f".{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # where nothing could be made there is nothing to remove
            beside.unlink()


def unwritable(path: Path, error: OSError) -> XmcpipeError:
    """What to say where the system refuses to write the page."""
    return XmcpipeError(f"--output: {path} can't be written: {error.strerror}", "name another file with -o")


@cache
def _vega() -> str:
    """Vega, Vega-Lite and what embeds them: one script of some 900 kB."""
    from vl_convert import javascript_bundle

    return _inline(javascript_bundle(BUNDLED))


def _inline(script: str) -> str:
    """A script without what would end its element; such a text stands in strings and comments only."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--").strip("\n")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
