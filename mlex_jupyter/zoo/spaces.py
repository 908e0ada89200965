"""What a tuning may try: the parameters of an architecture's form that are varied, and between what.

    depth=2:5            a range of whole numbers        learning_rate=0.01:0.2:log   by orders of magnitude
    patch=64:256:64      in steps                        schedule=cosine,level         one of these
    base_channels=auto   what the form, its default and the presets suggest

Where nobody says what to vary, it is what the presets vary, what the network has to choose from, and the rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from mlex_jupyter.errors import Invalid, MlexError, nearest
from mlex_jupyter.forms import complete_params
from mlex_jupyter.types import Architecture, Params, Varied
from mlex_jupyter.yamls import yaml_value

NUMBERS = {"integer": "int", "number": "float"}
WIDE = 4
"""A range whose ends differ by more than this factor is searched by orders of magnitude."""
AROUND = {"integer": 2, "number": 10}
"""How far from the default `auto` goes where nothing else says it."""
ALWAYS = ("learning_rate",)
COUNTED = 10_000
"""More combinations than this are not counted."""


def space_of(
    architecture: Architecture, vary: Mapping[str, str], fixed: Params, *, learned: bool = False
) -> tuple[Varied, ...]:
    """What is varied, checked against the form: every end and every choice will do by itself.

    A network that has `learned` already keeps its form, or its weights would not fit.
    """
    fields: dict[str, Any] = architecture.params_schema["properties"]  # type: ignore[assignment]
    formed = {name for name, field in fields.items() if learned and field.get("x-group") == "network"}
    for name in vary:
        if name not in fields:
            hint = nearest(name, fields) or f"It has {', '.join(fields)}."
            raise Invalid(f"{architecture.name} has no parameter {name!r}.", hint=hint)
        if name in formed:
            raise Invalid(
                f"{name} cannot be varied: a network that begins with weights keeps its form.",
                hint="Vary what belongs to the training, or leave --start out.",
            )
        if name in fixed:
            raise Invalid(f"{name} is both fixed and varied.", hint="Leave one of them out.")
    wanted = vary or {name: "auto" for name in _suggested(architecture, fields) if name not in {*fixed, *formed}}
    space = tuple(_varied(architecture, name, fields[name], said) for name, said in wanted.items())
    if not space:
        raise Invalid(f"Nothing of {architecture.name} is varied.", hint="As in: --vary learning_rate=0.01:0.2:log")
    for one in space:
        _check(architecture, one)
    return space


def combinations(space: Sequence[Varied]) -> int | None:
    """How many there are; None where they are without number, or too many to matter."""
    count = 1
    for one in space:
        if one.kind == "choice":
            count *= len(one.choices)
        elif one.low is None or one.high is None or (one.kind == "float" and one.step is None):
            return None
        else:
            count *= math.floor((one.high - one.low) / (one.step or 1) + 1e-9) + 1
    return count if count <= COUNTED else None


def _suggested(architecture: Architecture, fields: Mapping[str, Any]) -> list[str]:
    """What is worth varying where nobody says it."""
    preset = {name for params in architecture.presets.values() for name in params}
    chosen = [
        name
        for name, field in fields.items()
        if field.get("x-group") == "network" and (name in preset or "enum" in field or field.get("type") == "boolean")
    ]
    return [*chosen, *(name for name in ALWAYS if name in fields)]


def _varied(architecture: Architecture, name: str, field: Mapping[str, Any], said: str) -> Varied:
    if said.strip() == "auto":
        return _auto(architecture, name, field)
    if "," in said:
        return Varied(name=name, kind="choice", choices=_choices(name, field, said))
    if ":" in said and field.get("type") in NUMBERS:
        return _range(name, field, said)
    raise Invalid(
        f"{name}={said[:60]} varies nothing.",
        hint=f"A range as {name}=2:5, a choice as {name}=a,b, or {name}=auto; -p {name}={said[:60]} fixes it.",
    )


def _choices(name: str, field: Mapping[str, Any], said: str) -> tuple[JsonValue, ...]:
    words = [word.strip() for word in said.split(",")]
    text = field.get("type") == "string"
    choices: list[JsonValue] = list(dict.fromkeys(word if text else yaml_value(word) for word in words))
    if len(choices) < 2 or any(isinstance(choice, list | dict) or choice in (None, "") for choice in choices):
        raise Invalid(f"{name}={said[:60]} is no choice.", hint=f"As in: {name}=1,2,4")
    return tuple(choices)


def _range(name: str, field: Mapping[str, Any], said: str) -> Varied:
    low, high, *how = said.split(":")
    whole = field["type"] == "integer"
    try:
        ends = [float(low), float(high)]
        step = float(how[0]) if how and how[0] != "log" else None
    except ValueError:
        step, ends = None, []
    if len(how) > 1 or not ends or not all(map(math.isfinite, ends)):
        raise Invalid(f"{name}={said[:60]} is no range.", hint="As 2:5, 1e-4:1e-2:log, or 16:64:16 in steps of 16.")
    if ends[0] >= ends[1] or (step is not None and not 0 < step <= ends[1] - ends[0]):
        raise Invalid(f"{name}={said[:60]} holds nothing to vary.", hint="Its low end comes first.")
    if whole and any(not number.is_integer() for number in (*ends, step or 1.0)):
        raise Invalid(f"{name} takes whole numbers: {said[:60]} will not do.")
    if how == ["log"] and ends[0] <= 0:
        raise Invalid(f"{name}={said[:60]} has no logarithm.", hint="Begin above zero.")
    kind = "int" if whole else "float"
    return Varied(name=name, kind=kind, low=ends[0], high=ends[1], step=step, log=how == ["log"])


def _auto(architecture: Architecture, name: str, field: Mapping[str, Any]) -> Varied:
    """From the choices there are; else between the presets; else all that is allowed, or around the default."""
    if choices := field.get("enum") or ([False, True] if field.get("type") == "boolean" else []):
        return Varied(name=name, kind="choice", choices=tuple(choices))
    kind, default = field.get("type"), field.get("default")
    if kind not in NUMBERS or not isinstance(default, int | float):
        raise Invalid(f"What {name} may be has to be said.", hint=f"As in: --vary {name}=a,b")
    values: list[Any] = [default, *(params[name] for params in architecture.presets.values() if name in params)]
    low, high = float(min(values)), float(max(values))
    least, most = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    if low == high and least is not None and most is not None and (default == 0 or 0 < least >= most / WIDE):
        low, high = float(least), float(most)
    elif low == high:
        factor = AROUND[str(kind)]
        low = max(default / factor, least if least is not None else -math.inf)
        high = min(default * factor, most if most is not None else math.inf)
        low, high = (float(round(low)), float(round(high))) if kind == "integer" else (low, high)
    if low >= high:
        raise Invalid(f"What {name} may be has to be said.", hint=f"As in: --vary {name}=2:5")
    return Varied(name=name, kind=NUMBERS[str(kind)], low=low, high=high, log=low > 0 and high / low >= WIDE)


def _check(architecture: Architecture, one: Varied) -> None:
    values: list[Any] = list(one.choices) or [one.low, one.high]
    for value in values:
        whole = one.kind == "int"
        try:
            complete_params(architecture, {one.name: int(value) if whole else value})
        except MlexError as error:
            raise Invalid(f"{one.name} cannot be varied so. {error.message}", hint=error.hint) from None
