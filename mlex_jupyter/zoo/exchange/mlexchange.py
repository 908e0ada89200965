"""Models as MLExchange's content registry describes them: `gui_parameters` as a form like that of an architecture.

    {"model_name": "random_forest", "version": "0.1", "type": "supervised", "uri": "image…", "cmd": ["python …"],
     "gui_parameters": [{"type": "int", "name": "trees", "title": "Trees", "param_key": "n_estimators", "value": 30}]}

The form is checked and kept. Command and image are shown, and nothing of them is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastjsonschema
from pydantic import JsonValue, ValidationError

from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import Entry, invalid, now

FILE_BYTES = 4 << 20
ENTRIES, PARAMETERS = 500, 300
KNOWN = {"type", "name", "title", "param_key", "value", "comp_group", "min", "max", "step", "options", "multi"}
SHOWN = {"img"}
"""Components that show something and ask for nothing."""


def entries(file: Path) -> list[Entry]:
    """What a file holds: one entry, or a list of them."""
    if file.stat().st_size > FILE_BYTES:
        raise Invalid(f"{file.name} is too long for a list of models.")
    try:
        found = json.loads(file.read_bytes(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{file.name} is no JSON: {str(error)[:200]}.") from None
    if isinstance(found, dict) and "contents" in found:
        found = found["contents"]
    listed = found if isinstance(found, list) else [found]
    if not 1 <= len(listed) <= ENTRIES:
        raise Invalid(f"{file.name} holds {len(listed)} entries; 1 to {ENTRIES} are taken.")
    return [entry(one) for one in listed]


def entry(found: Any) -> Entry:
    """One entry; Invalid, with its name and the reason, where it cannot be understood."""
    if not isinstance(found, dict) or not isinstance(found.get("gui_parameters", []), list):
        raise Invalid("This is no entry of MLExchange.", hint="It is a JSON object with gui_parameters.")
    name = str(found.get("model_name") or found.get("name") or "").strip().replace(" ", "-")
    try:
        schema, aside = form(found.get("gui_parameters") or [])
        command = found.get("cmd") or ()
        return Entry(
            name=name,
            version=str(found.get("version") or "1"),
            title=str(found.get("title") or name),
            kind=str(found.get("type") or ""),
            description=str(found.get("description") or "")[:10_000],
            owner=str(found.get("user") or ""),
            applications=tuple(map(str, found.get("application") or ())),
            reference=str(found["reference"]) if found.get("reference") else None,
            image=str(found["uri"]) if found.get("uri") else None,
            command=(command,) if isinstance(command, str) else tuple(map(str, command)),
            params_schema=schema,
            left_aside=aside,
            imported=now(),
        )
    except ValidationError as error:
        raise invalid(error, "The entry") from error
    except Invalid as error:
        raise Invalid(f"{name or 'An entry without a name'}: {error.message}", hint=error.hint) from None


def form(parameters: list[Any]) -> tuple[dict[str, JsonValue], tuple[str, ...]]:
    """The JSON Schema of `gui_parameters`, and what of them only concerned how they look."""
    if len(parameters) > PARAMETERS:
        raise Invalid(f"it has {len(parameters)} parameters; at most {PARAMETERS} are taken.")
    properties: dict[str, JsonValue] = {}
    aside: set[str] = set()
    for one in parameters:
        if not isinstance(one, dict):
            raise Invalid(f"{repr(one)[:60]} is no parameter.")
        if one.get("type") in SHOWN:
            aside.add(str(one["type"]))
            continue
        aside |= {str(key)[:50] for key in one.keys() - KNOWN}
        key = str(one.get("param_key") or one.get("name") or "")
        if not key or key in properties:
            raise Invalid(f"{'two parameters are called ' + key if key else 'a parameter has no param_key'}.")
        properties[key] = _property(key, one)
    return {"type": "object", "properties": properties, "additionalProperties": False}, tuple(sorted(aside))


def _property(key: str, one: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(one.get("type"))
    if kind not in KINDS:
        hint = f"Known are {', '.join(sorted([*KINDS, *SHOWN]))}."
        raise Invalid(f"the parameter {key} is of the type {kind[:50]!r}, which is not known here.", hint=hint)
    try:
        about: dict[str, Any] = KINDS[kind](one)
        if one.get("value") is not None and "default" not in about:
            about["default"] = one["value"]
        fastjsonschema.compile({**about})(about.get("default")) if "default" in about else None
    except fastjsonschema.JsonSchemaException as error:
        raise Invalid(f"the value of {key}, {one.get('value')!r:.60}, will not do: {str(error)[:100]}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise Invalid(f"the parameter {key} ({kind}) is not complete, or its value is of another kind.") from None
    group = str(one.get("comp_group") or "parameters")
    return {"title": str(one.get("title") or key), **about, "x-group": group, "x-name": str(one.get("name") or key)}


def _whole(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "integer", **_numbers(one, _integer)}


def _number(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "number", **_numbers(one, _real)}


def _slider(one: Mapping[str, Any]) -> dict[str, Any]:
    said = [_real(one[name]) for name in ("min", "max")] + [_real(one.get("step") or 0.5)]
    whole = all(value.is_integer() for value in said)
    return _whole(one) if whole else _number(one)


def _numbers(one: Mapping[str, Any], read: Callable[[Any], Any]) -> dict[str, Any]:
    names = {"value": "default", "min": "minimum", "max": "maximum"}
    return {to: read(one[name]) for name, to in names.items() if one.get(name) not in (None, "")}


def _text(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "string"} | ({"default": str(one["value"])} if one.get("value") is not None else {})


def _choice(one: Mapping[str, Any]) -> dict[str, Any]:
    options = one["options"]
    if isinstance(options, dict):
        values = list(options)
    else:
        values = [option["value"] if isinstance(option, dict) else option for option in options]
    if not values:
        raise ValueError("no options")
    if one.get("multi") is True:
        return {"type": "array", "items": {"enum": values}}
    return {"enum": values}


def _switch(one: Mapping[str, Any]) -> dict[str, Any]:
    said = {"true": True, "false": False, "1": True, "0": False}
    value = one.get("value")
    return {"type": "boolean"} | ({} if value is None else {"default": said[str(value).lower()]})


def _integer(value: Any) -> int:
    number = _real(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _real(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(value)
    return number


def _no_number(said: str) -> float:
    raise ValueError(f"{said} is no number")


KINDS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "int": _whole,
    "float": _number,
    "slider": _slider,
    "str": _text,
    "dropdown": _choice,
    "radio": _choice,
    "bool": _switch,
}
