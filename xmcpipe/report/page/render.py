"""Renders the page: one HTML file that contains its style, scripts, charts and documents.

The page loads nothing from the network, and its Content-Security-Policy forbids it to. The policy also lists
the hashes of the scripts that may run, so no text of a dataset can run as a script. Jinja2 escapes everything
that it inserts into HTML. JSON is inserted into script elements of types that browsers don't run, with every
character escaped that has a meaning in HTML or JavaScript.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xmcpipe.errors import XmcpipeError

HERE = Path(__file__).parent
BUNDLED = "window.vegaEmbed = vegaEmbed;"  # for page.js; the bundle also contains Vega and Vega-Lite
PACKAGES = ("altair", "vl_convert", "jinja2")
# U+2028 and U+2029 end a line in older JavaScript.
ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def require_packages() -> None:
    """Raise XmcpipeError unless all packages of the extra `report` are installed."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise XmcpipeError(
            f"a report needs {', '.join(absent)}, which isn't installed",
            "run pip install 'xmcpipe[report]'",
        )


def render(context: Mapping[str, Any], documents: Mapping[str, Any] | None) -> str:
    """The text of the page.

    `context` has the variables of page.html.j2, and `documents` the columns of the sample, if there is one.
    """
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
    # The policy allows exactly these two scripts, by their hashes.
    scripts = [_vega(), _inline((HERE / "page.js").read_text(encoding="utf-8"))]
    return environment.get_template("page.html.j2").render(
        **context,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        documents=None if documents is None else packed(documents),
    )


def as_json(value: Any) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(ESCAPES)


def packed(value: Any) -> str:
    """Gzipped JSON in base64. The gzip header has no time stamp, so the bytes are reproducible."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in one script of about 900 kB."""
    from vl_convert import javascript_bundle

    return _inline(javascript_bundle(BUNDLED))


def _inline(script: str) -> str:
    """The script, with sequences escaped that would end its HTML element.

    They occur in strings and comments only, where a backslash changes nothing.
    """
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--").strip("\n")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
