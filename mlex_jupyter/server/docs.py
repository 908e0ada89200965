"""The REST API as a page to read, made of the OpenAPI document: every route, its arguments, a curl line, every type.

Nothing on it comes from elsewhere: its style and its few lines of script stand in the page, and the browser is told
their checksums, so that it would run nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STYLE = (HERE / "docs.css").read_text()
SCRIPT = (HERE / "docs.js").read_text()
SHARED = "#/components/schemas/"

# What stands in the examples, by the name of the argument.
EXAMPLES: dict[str, Any] = {
    "architecture": "tunet",
    "argv": ["python", "script.py"],
    "color": "#e69f00",
    "data": "sand-tomo",
    "files": [{"path": "scan.zarr/zarr.json", "size": 512}],
    "labels": "scribbles",
    "model": "tunet",
    "name": "sand-tomo",
    "path": "/data/scan.zarr",
    "run": "tunet-01",
    "runs": ["tunet-01", "tunet-02"],
    "thing": "sand-tomo",
    "upload": "upload-1",
    "word": "champion",
}


def policy() -> str:
    """What the browser may load and run for this page: what stands in it."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (STYLE, SCRIPT))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(document: Mapping[str, Any], at: str) -> str:
    """The whole page, for the server at this address."""
    info, shared = document["info"], document["components"]["schemas"]
    operations: dict[str, list[str]] = {}
    links: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            noun = operation["tags"][0]
            name = escape(operation["operationId"])
            operations.setdefault(noun, []).append(_operation(method, path, operation, shared))
            links.setdefault(noun, []).append(f'<li><a href="#{name}">{name}</a></li>')
    menu = "".join(f"<h2>{escape(noun)}</h2><ul>{''.join(found)}</ul>" for noun, found in links.items())
    body = "".join(f"<section><h2>{escape(noun)}</h2>{''.join(found)}</section>" for noun, found in operations.items())
    types = "".join(_type(name, schema) for name, schema in shared.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>MLEx REST API</title>
<style>{STYLE}</style>
</head>
<body>
<nav aria-label="Routes">
<a class="mlex-Top" href="#top">MLEx REST API <small>{escape(info["version"])}</small></a>
<input type="search" placeholder="Filter routes and types" aria-label="Filter routes and types">
<div>{menu}<h2><a href="#types">Types</a></h2></div>
</nav>
<main id="top">
{_intro(at)}
<p class="mlex-None" hidden>Nothing here has all these words.</p>
{body}
<section id="types"><h2>Types</h2>{types}</section>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _intro(at: str) -> str:
    socket = at.replace("http", "ws", 1)
    return f"""<header>
<h1>MLEx REST API</h1>
<p>Whatever can be done in the panel, the shell or a notebook can be done here. Requests and answers are JSON, and every
request carries a token; where it comes from says your server (<code>jupyter server list</code>) or your Hub’s token
page. In Python, <code>mlex.connect(URL)</code> does all of this for you.</p>
<pre>export URL={escape(at)} TOKEN=…
curl -H "Authorization: token $TOKEN" $URL/hello</pre>
<dl>
<dt>Errors</dt><dd>Any status from 400 on brings a <a href="#type-Problem">Problem</a>: what went wrong, and what to do.
Where <code>transient</code> is true, the same request may work later.</dd>
<dt>Asking twice</dt><dd>A request with a <code>key</code> of your own is done once, however often it is sent.</dd>
<dt>Events</dt><dd>The WebSocket <code>{escape(socket)}/stream?after=ID</code> sends arrays of
<a href="#type-Event">Event</a> as they happen, beginning after the id; an empty one is a sign of life. After a loss,
connect again with the last id that you saw: nothing is left out.</dd>
<dt>The contract</dt><dd><a href="openapi.json">openapi.json</a>, from which this page is made.</dd>
</dl>
</header>"""


def _operation(method: str, path: str, operation: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    name = operation["operationId"]
    rows = list(_arguments(operation))
    arguments = f"<table><thead><tr><th>Argument<th>Type<th>Meaning</thead>{''.join(rows)}</table>" if rows else ""
    shown = re.sub(r"\{(\w+)\}", r"<var>{\1}</var>", escape(path))
    return f"""<article id="{escape(name)}">
<h3><span class="mlex-Method" data-method="{method}">{method.upper()}</span> <code>{shown}</code>
<a class="mlex-Anchor" href="#{escape(name)}" aria-label="Link to {escape(name)}">#</a></h3>
<p>{escape(operation["summary"])}</p>
{arguments}
<pre>{escape(_curl(method, path, operation, shared))}</pre>
<p class="mlex-Answer">{_answer(operation)}</p>
</article>"""


def _arguments(operation: Mapping[str, Any]) -> Iterator[str]:
    for found in operation["parameters"]:
        where = "in the path" if found["in"] == "path" else "in the query"
        yield _row(found["name"], found["schema"], found["required"], found.get("description", ""), where)
    for kind, sent in operation.get("requestBody", {}).get("content", {}).items():
        schema = sent["schema"]
        if kind != "application/json":
            yield _row("the body", schema, True, "Bytes, as they are.", "")
        elif "properties" not in schema:
            yield _row("the body", schema, True, "", "")
        for name, part in schema.get("properties", {}).items():
            yield _row(name, part, name in schema.get("required", ()), part.get("description", ""), "in the body")


def _row(name: str, schema: Mapping[str, Any], required: bool, about: str, where: str) -> str:
    default = schema.get("default")
    notes = [
        "needed" if required else "",
        f"default <code>{escape(json.dumps(default))}</code>" if default not in (None, "", [], {}) else "",
        escape(where),
    ]
    note = ", ".join(filter(None, notes))
    return f"<tr><th><code>{escape(name)}</code><td>{_kind(schema)}<td>{_words(about)} <small>{note}</small>"


def _words(text: str) -> str:
    """A sentence, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a word or two, linked where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(SHARED))
        return f'<a href="#type-{name}">{name}</a>'
    if "const" in schema or "enum" in schema:
        return " or ".join(
            f"<code>{escape(json.dumps(one))}</code>" for one in schema.get("enum", [schema.get("const")])
        )
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(one) for one in several if one.get("type") != "null"))
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema.get('items') or {})}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"names with {_kind(schema['additionalProperties'])}"
        case str() as plain:
            return {"string": "text", "boolean": "true or false", "object": "any names"}.get(plain, plain)
    return "anything"


def _answer(operation: Mapping[str, Any]) -> str:
    for status, answer in operation["responses"].items():
        for kind, said in answer.get("content", {}).items():
            return f"Answers <b>{status}</b> with {_kind(said['schema']) if 'schema' in said else escape(kind)}."
    return ""


def _type(name: str, schema: Mapping[str, Any]) -> str:
    about = str(schema.get("description", "")).split("\n\n")[0]
    fields = "".join(
        _row(field, part, field in schema.get("required", ()), str(part.get("description", "")), "")
        for field, part in schema.get("properties", {}).items()
    )
    inside = f"<table><thead><tr><th>Field<th>Type<th>Meaning</thead>{fields}</table>" if fields else ""
    plain = "" if fields else f"<p>{_kind(schema)}</p>"
    return f'<article id="type-{escape(name)}"><h3>{escape(name)}</h3><p>{_words(about)}</p>{plain}{inside}</article>'


# ---------------------------------------------------------------- examples


def _curl(method: str, path: str, operation: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    """A line to copy."""
    given = {
        found["name"]: _example(found["schema"], shared, found["name"])
        for found in operation["parameters"]
        if found["required"]
    }
    address = re.sub(r"\{(\w+)\}", lambda part: str(given.pop(part[1])), path)
    query = "&".join(f"{name}={value}" for name, value in given.items())
    address = f"'{address}?{query}'" if query else address
    words = ["curl"] if method == "get" else [f"curl -X {method.upper()}"]
    words.append('-H "Authorization: token $TOKEN"')
    for kind, sent in operation.get("requestBody", {}).get("content", {}).items():
        if kind == "application/json":
            body = json.dumps(_example(sent["schema"], shared, ""), ensure_ascii=False)
            words.append(f"--json '{body}'")
        else:
            words.append(f"-H 'Content-Type: {kind}' --data-binary @FILE")
    return " \\\n  ".join([" ".join(words[:2]), *words[2:], f"$URL{address}"])


def _example(schema: Mapping[str, Any], shared: Mapping[str, Any], name: str) -> Any:
    """A value that would do: of an object what is needed, and what makes it the kind that it is."""
    while "$ref" in schema:
        schema = shared[schema["$ref"].removeprefix(SHARED)]
    if name in EXAMPLES and schema.get("type") != "object":
        return EXAMPLES[name]
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return _example(several[0], shared, name)
    for said in ("const", "default"):
        if said in schema:
            return schema[said]
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {})
            needed = [part for part in parts if part in schema.get("required", ()) or "const" in parts[part]]
            return {part: _example(parts[part], shared, part) for part in needed}
        case "array":
            return [_example(schema["items"], shared, name)] if schema.get("items") else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return schema["enum"][0] if "enum" in schema else "…"
