"""The page /docs: the paths of a service and what they take, as its OpenAPI description states them.

FastAPI's own page loads Swagger UI from another host. This one is plain HTML, and needs no script.
"""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

EXAMPLE = """curl http://localhost:8000/predict -H 'Content-Type: application/json' \\
    -d '{"text": "A plugin that adds spell checking", "k": 3}'"""
Schema = Mapping[str, Any]


def docs_page(openapi: Schema) -> str:
    """HTML of the OpenAPI description `openapi`."""
    schemas = openapi.get("components", {}).get("schemas", {})
    parts = [
        _operation(method.upper(), path, operation, schemas)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(openapi["info"]["title"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="static/page.css"></head><body>
<header><h1>{title}</h1><p class="facts">version {escape(openapi["info"]["version"])} ·
<a href=".">try it</a> · <a href="openapi.json">openapi.json</a></p></header>
<main><pre><code>{escape(EXAMPLE)}</code></pre>
{"".join(parts)}</main></body></html>
"""


def _operation(method: str, path: str, operation: Schema, schemas: Schema) -> str:
    parts = [
        f"<section><h2><code>{method} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"
    ]
    if operation.get("parameters"):
        fields = {each["name"]: {**each, **each["schema"]} for each in operation["parameters"]}
        parts.append(_table("Parameter", fields))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        parts.append(_table("Field of the body", body["properties"]))
    for status, response in operation["responses"].items():
        parts.append(_response(status, response, schemas))
    return "".join([*parts, "</section>\n"])


def _response(status: str, response: Schema, schemas: Schema) -> str:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    names = sorted(_names(schema)) if status == "200" else []
    tables = [_table(f"Field of {name}", schemas[name]["properties"]) for name in _with_parts(names, schemas)]
    what = "The answer." if status == "200" else response["description"]
    return f"<p><strong>{escape(status)}</strong> {escape(what)}</p>{''.join(tables)}"


def _with_parts(names: list[str], schemas: Schema) -> list[str]:
    """The schemas `names`, and those that their fields refer to."""
    found = list(names)
    for name in found:
        found += sorted(_names(schemas[name]) - set(found))
    return found


def _names(schema: Any) -> set[str]:
    """The names of all schemas that `schema` refers to."""
    if isinstance(schema, Mapping):
        own = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return own.union(*(_names(value) for value in schema.values()))
    if isinstance(schema, list):
        return set().union(*map(_names, schema))
    return set()


def _table(heading: str, fields: Schema) -> str:
    rows = "".join(
        f"<tr><th scope='row'><code>{escape(name)}</code></th><td>{escape(_type(field))}</td>"
        f"<td>{escape(_default(field))}</td><td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in fields.items()
    )
    heads = "".join(f"<th scope='col'>{escape(each)}</th>" for each in (heading, "Type", "Default", ""))
    return f"<div class='scroll'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _type(field: Schema) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    bounds = [
        f"{word} {field[key]:g}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in field
    ]
    return " ".join([str(field.get("type", "any")), *bounds])


def _default(field: Schema) -> str:
    return json.dumps(field["default"]) if "default" in field else ""
