"""The REST contract as an OpenAPI document, from the table of verbs: `python -m mlex_jupyter.server.openapi`."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from mlex_jupyter import __version__
from mlex_jupyter.app import Mlex
from mlex_jupyter.faces.grammar import ABOUT
from mlex_jupyter.faces.outline import NOUNS
from mlex_jupyter.server import BASE
from mlex_jupyter.types import Event, Job, Problem
from mlex_jupyter.verbs import Parameter, Verb, table

REF = "#/components/schemas/{model}"
BYTES = {"type": "string", "format": "binary"}
PNG, BINARY = "image/png", "application/octet-stream"
PICTURES = {
    "/datasets/{name}/picture": (
        "dataset_picture",
        "A slice of a dataset as a PNG.",
        ("axis", "index", "size", "labels"),
    ),
    "/datasets/{name}/raster": (
        "dataset_raster",
        "A slice of a dataset as numbers: a line of JSON that says what they are, then one or two bytes a pixel.",
        ("axis", "index", "size"),
    ),
    "/datasets/{name}/labels/{labels}/difference": (
        "label_difference",
        "What differs in a slice between two versions of a label set, as a PNG: new in colour, gone in white.",
        ("version", "other", "index", "size"),
    ),
    "/jobs/{run}/picture": ("run_picture", "A run's newest picture, or that of one epoch, as a PNG.", ("epoch",)),
}


class _Schemas:
    """JSON schemas of types, with what they share collected in one place."""

    def __init__(self) -> None:
        self.shared: dict[str, Any] = {}

    def of(self, kind: Any, mode: str = "validation") -> dict[str, Any]:
        found = TypeAdapter(kind).json_schema(
            ref_template=REF,
            mode="serialization" if mode == "out" else "validation",
            schema_generator=GenerateJsonSchema,
        )
        shared = found.pop("$defs", {})
        title = found.get("title")
        if found.get("type") == "object" and "properties" in found and title:
            shared[title] = found
            found = {"$ref": REF.format(model=title)}
        # What people send may leave out what has a default; what comes back never does. A type that goes both ways
        # is described as it is sent.
        self.shared = {**shared, **self.shared} if mode == "out" else {**self.shared, **shared}
        return found


def document() -> dict[str, Any]:
    """The whole document; the same code gives the same bytes."""
    schemas = _Schemas()
    paths: dict[str, Any] = {}
    for verb in table(Mlex).values():
        if verb.route:
            paths.setdefault(verb.route.path, {})[verb.route.method.lower()] = _operation(verb, schemas)
    for path, (name, says, query) in PICTURES.items():
        paths[path] = {"get": _picture(path, name, says, query)}
    for kind in (Problem, Event, Job):
        schemas.of(kind, "out")
    return {
        "openapi": "3.1.0",
        "info": {"title": "MLEx", "version": __version__, "description": "Events: the WebSocket `stream?after=ID`."},
        "servers": [{"url": f"/{BASE}"}],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.shared.items()))},
    }


def _operation(verb: Verb, schemas: _Schemas) -> dict[str, Any]:
    route = verb.route
    assert route is not None
    in_path = re.findall(r"\{(\w+)\}", route.path)
    others = [parameter for parameter in verb.parameters if parameter.name not in in_path]
    operation: dict[str, Any] = {
        "operationId": verb.name,
        "tags": [NOUNS[verb.function.__module__.rpartition(".")[2]]],
        "summary": verb.help,
        "parameters": [
            _parameter(parameter, "path", schemas) for parameter in verb.parameters if parameter.name in in_path
        ],
        "responses": {
            str(route.status): {"description": "Done.", "content": _json(schemas.of(verb.returns, "out"))},
            "default": {"description": "What went wrong.", "content": _json(schemas.of(Problem, "out"))},
        },
    }
    if verb.sends_bytes:
        query = [parameter for parameter in others if parameter.name != route.body]
        operation["parameters"] += [_parameter(parameter, "query", schemas) for parameter in query]
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": BYTES}}}
    elif route.method == "GET":
        operation["parameters"] += [_parameter(parameter, "query", schemas) for parameter in others]
    elif route.body:
        body = next(parameter for parameter in others if parameter.name == route.body)
        operation["requestBody"] = {"required": True, "content": _json(schemas.of(body.type))}
    elif others:
        operation["requestBody"] = {"required": True, "content": _json(_object(others, schemas))}
    return operation


def _parameter(parameter: Parameter, place: str, schemas: _Schemas) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "required": place == "path" or parameter.required,
        "description": ABOUT.get(parameter.name, ""),
        "schema": _with_default(parameter, schemas),
    }


def _object(parameters: list[Parameter], schemas: _Schemas) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            parameter.name: {**_with_default(parameter, schemas), "description": ABOUT.get(parameter.name, "")}
            for parameter in parameters
        },
        "required": [parameter.name for parameter in parameters if parameter.required],
        "additionalProperties": False,
    }


def _with_default(parameter: Parameter, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas.of(parameter.type)
    if not parameter.required and isinstance(parameter.default, str | int | float | None):
        schema = {**schema, "default": parameter.default}
    return schema


def _picture(path: str, name: str, says: str, query: tuple[str, ...]) -> dict[str, Any]:
    in_path = re.findall(r"\{(\w+)\}", path)
    return {
        "operationId": name,
        "tags": ["Pictures"],
        "summary": says,
        "parameters": [
            *({"name": part, "in": "path", "required": True, "schema": {"type": "string"}} for part in in_path),
            *(
                {
                    "name": part,
                    "in": "query",
                    "required": False,
                    "schema": {"type": "string" if part == "labels" else "integer"},
                }
                for part in query
            ),
        ],
        "responses": {
            "200": {"description": "The picture.", "content": {BINARY if path.endswith("raster") else PNG: {}}},
            "default": {"description": "What went wrong.", "content": _json({"$ref": REF.format(model="Problem")})},
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


if __name__ == "__main__":
    print(json.dumps(document(), indent=2, ensure_ascii=False))
