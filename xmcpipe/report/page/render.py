"""Rendering the page: one HTML file that contains its style, scripts, charts and documents.

It loads nothing from a network, and its Content-Security-Policy forbids it to. Scripts only run if their hash
is in the policy, so that no text of a dataset can ever run as one. Jinja2 escapes everything that goes into
HTML. JSON goes into script elements that no browser runs, with every character escaped that has a meaning in
HTML or JavaScript.
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
BUNDLED = "window.vegaEmbed = vegaEmbed;"  # page.js calls it; the bundle has Vega and Vega-Lite too
PACKAGES = ("altair", "vl_convert", "jinja2")
ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def require_packages() -> None:
    """Raise XmcpipeError unless the packages of the extra `report` are installed."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise XmcpipeError(
            f"a report needs {', '.join(absent)}, which isn't installed",
            "run pip install 'xmcpipe[report]'",
        )


def render(context: Mapping[str, Any], documents: Mapping[str, Any] | None) -> str:
    """The text of the page.

    `context` has the variables of page.html.j2, `documents` the columns of the sample.
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
    # The two scripts that the policy allows, by their hashes.
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
    """JSON, gzipped without a time stamp so that the bytes are reproducible, in base64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in one script of about 900 kB."""
    from vl_convert import javascript_bundle

    return _inline(javascript_bundle(BUNDLED))


def _inline(script: str) -> str:
    """The script with texts escaped that would end its element. They only occur in strings and comments."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--").strip("\n")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
