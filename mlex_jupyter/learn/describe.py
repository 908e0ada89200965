"""Say what architectures can be set to: `python -m mlex_jupyter.learn.describe NAME…` prints a JSON list.

It runs in a process of its own, since importing torch or a plugin takes seconds, and may fail. One that fails is
listed with one sentence of why, and never keeps the others from being described.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, create_model

from mlex_jupyter.errors import Invalid, MlexError, NotFound, nearest
from mlex_jupyter.learn.models import GIVEN, contract
from mlex_jupyter.learn.params import PretrainParams, TrainParams
from mlex_jupyter.plugins import distribution, entry_points
from mlex_jupyter.types import Architecture, ArrayContract

GROUP = "mlex.models"
ONCE = ("validation", "seed")
"""What there is to say of a training that is not by steps."""
PLAIN = (bool, int, float, str)
"""Where a parameter says no type, its default does, if it is one of these."""


def describe(name: str) -> dict[str, JsonValue]:
    """An `Architecture` as JSON, or the name and why it cannot be described."""
    try:
        return of_entry_point(find(name)).model_dump(mode="json")
    except MlexError as error:
        return {"name": name, "error": error.message}
    except (Exception, SystemExit) as error:  # a plugin may fail in any way, and even ask Python to end
        said = (str(error).strip().splitlines() or [""])[0][:300]
        return {"name": name, "error": f"It could not be loaded: {type(error).__name__}: {said}."}


def find(name: str) -> EntryPoint:
    """The entry point of this name."""
    known = entry_points(GROUP)
    if name not in known:
        raise NotFound(f"No architecture {name!r} is installed.", hint=nearest(name, known))
    return known[name]


def of_entry_point(point: EntryPoint) -> Architecture:
    """The architecture that an entry point names."""
    version = point.dist.version if point.dist else ""
    return of_builder(
        point.load(), name=point.name, builder=point.value, distribution=distribution(point), version=version
    )


def of_builder(built_by: Callable[..., Any], **where: str) -> Architecture:
    """The architecture that a builder makes."""
    promise = contract(built_by)
    form = params_schema(built_by, once=promise.trains == "once", suited=promise.training)
    for preset, params in promise.presets.items():
        if strange := sorted(params.keys() - form["properties"].keys()):  # type: ignore[union-attr]
            raise Invalid(f"Its preset {preset} sets {strange[0]}, which it does not have.")
    axes = "czyx" if promise.dims == 3 else "cyx"
    return Architecture(
        title=promise.title,
        description=promise.description,
        params_schema=form,
        pretrain_schema=_form(built_by, PretrainParams) if promise.encodes and promise.dims == 2 else None,
        inputs=ArrayContract(axes=axes, channels=promise.channels, divisible_by=promise.divisible_by),
        outputs=ArrayContract(axes=axes, divisible_by=promise.divisible_by),
        presets={preset: dict(params) for preset, params in promise.presets.items()},
        halo=promise.halo,
        finite_halo=promise.finite_halo,
        place=promise.place,
        **where,
    )


def params_schema(
    builder: Callable[..., Any], *, once: bool = False, suited: Mapping[str, Any] | None = None
) -> dict[str, JsonValue]:
    """The form: the builder's own parameters, then those of training, as it suits; few where that is not by steps."""
    return _form(builder, TrainParams, ONCE if once else None, suited or {})


def _form(
    builder: Callable[..., Any],
    how: type[BaseModel],
    only: tuple[str, ...] | None = None,
    suited: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, JsonValue]:
    network = _group(_network_params(builder), "network")
    training = _group(how, "training")
    for name, value in how.model_validate(suited).model_dump(exclude_unset=True).items():
        training[name] = {**training[name], "default": value}  # type: ignore[dict-item]
    if only is not None:
        training = {name: about for name, about in training.items() if name in only}
    if both := sorted(network.keys() & training.keys()):
        raise Invalid(f"Its parameter {both[0]} has the name of a training parameter.")
    return {"type": "object", "properties": {**network, **training}, "additionalProperties": False}


def _network_params(builder: Callable[..., Any]) -> type[BaseModel]:
    """A model with one field for each parameter of the builder: a function, or a class's own `__init__`."""
    signature = inspect.signature(builder).parameters
    said = builder.__init__ if inspect.isclass(builder) else builder
    hints = typing.get_type_hints(said, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in signature.items():
        if name in GIVEN:
            continue
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise Invalid(f"Its builder takes {parameter}; only parameters with a name of their own make a form.")
        kind = hints.get(name, type(parameter.default))
        if parameter.default is parameter.empty or (kind not in PLAIN and name not in hints):
            raise Invalid(f"Its parameter {name} has no type or no default.", hint=f"As in: {name}: int = 4")
        fields[name] = (kind, parameter.default)
    if missing := [name for name in GIVEN if name not in signature]:
        raise Invalid(
            f"Its builder takes no {missing[0]}.",
            hint="The data decides channels and classes: take both as parameters.",
        )
    return create_model("Network", __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)


def _group(model: type[BaseModel], group: str) -> dict[str, JsonValue]:
    schema = model.model_json_schema()
    if "$defs" in schema:
        raise Invalid("A parameter of it is more than a number, a text, a choice or a list.")
    properties: dict[str, JsonValue] = {}
    for name, about in schema.get("properties", {}).items():
        words = name.replace("_", " ")
        properties[name] = {**about, "title": words[0].upper() + words[1:], "x-group": group}
    return properties


def main(names: list[str]) -> int:
    """Print the list; whatever a plugin prints while it is loaded goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump([describe(name) for name in names], out, ensure_ascii=False)
    out.write("\n")
    out.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
