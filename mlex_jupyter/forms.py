"""Forms: an architecture's parameters, filled in with its defaults and presets, and what will not do said in words."""

from __future__ import annotations

import math
from typing import Any

import fastjsonschema

from mlex_jupyter.errors import Invalid, NotFound, nearest
from mlex_jupyter.types import Architecture, Params


def complete_params(architecture: Architecture, params: Params) -> Params:
    """These parameters with every default filled in, or an Invalid that names the one that is wrong."""
    schema = architecture.params_schema
    known: dict[str, Any] = schema["properties"]  # type: ignore[assignment]
    for name in params:
        if name not in known:
            hint = nearest(name, known) or f"It has {', '.join(known)}."
            raise Invalid(f"{architecture.name} has no parameter {name!r}.", hint=hint)
    complete = {name: params.get(name, field.get("default")) for name, field in known.items()}
    for name, value in complete.items():
        if isinstance(value, float) and not math.isfinite(value):  # no bound of a schema refuses NaN
            raise Invalid(f"{architecture.name}: {name} = {value} will not do: it must be a finite number.")
    try:
        fastjsonschema.compile(schema, use_default=False)(complete)
    except fastjsonschema.JsonSchemaValueException as error:
        where = ".".join(map(str, error.path[1:]))
        says = error.message.removeprefix(error.name or "").strip()
        message = f"{architecture.name}: {where} = {error.value!r} will not do: it {says}."
        raise Invalid(message, hint=known.get(where, {}).get("description")) from None
    return complete


def preset_params(architecture: Architecture, preset: str) -> Params:
    """The parameters of a preset."""
    if preset not in architecture.presets:
        known = ", ".join(architecture.presets)
        hint = nearest(preset, architecture.presets) or (f"It has {known}." if known else "It has none: use `-p`.")
        raise NotFound(f"{architecture.name} has no preset {preset!r}.", hint=hint)
    return architecture.presets[preset]
