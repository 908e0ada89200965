"""What a caller gives a verb, checked against its signature: the same words of complaint for every face.

An object stands for its name: a `Job` where a run is meant, a `Dataset` (or the job that made it) where data is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlex_jupyter.errors import Invalid, nearest
from mlex_jupyter.types import Architecture, Code, Dataset, Job, LabelSet, Model, Record, TargetInfo, ZooEntry, invalid
from mlex_jupyter.verbs import Parameter, Verb


class Usage(Invalid):
    """A call that does not say what its verb needs."""


VERSIONED = ("model", "name")
# What a parameter names. One called "name" names what its verb is called, if that is here.
MEANT: dict[str, tuple[type[Record], ...]] = {
    "run": (Job,),
    "after": (Job,),
    "runs": (Job,),
    "data": (Dataset, Job),
    "dataset": (Dataset, Job),
    "labels": (LabelSet,),
    "model": (Job, Model, ZooEntry, Architecture),
    "architecture": (Architecture, ZooEntry),
    "parent": (Model, ZooEntry),
    **dict.fromkeys(
        ("model_versions", "edit_model", "alias", "withdraw_model", "restore_model", "export_model"), (Model, ZooEntry)
    ),
    "target": (TargetInfo,),
    "thing": (Dataset, LabelSet, Model, Job),
}


def kinds(verb: Verb, parameter: str) -> tuple[type[Record], ...]:
    """The types whose objects may stand for this argument."""
    return MEANT.get(verb.name if parameter == "name" else parameter, ())


def reference(thing: Record, parameter: str) -> str | None:
    """The name or id by which the engine knows an object; None for a job without the dataset that is meant."""
    if isinstance(thing, Job):
        if parameter in ("data", "dataset", "name"):
            return next((output.name for output in thing.outputs if output.kind == "dataset"), None)
        return thing.id
    if parameter == "thing":  # a name may be that of several things
        return str(getattr(thing, "id"))  # noqa: B009
    return str(getattr(thing, "name"))  # noqa: B009  (each type of MEANT has one, and Record does not)


def check(verb: Verb, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with their types, or a Usage error."""
    known = {parameter.name: parameter for parameter in verb.parameters}
    for name in given:
        if name not in known:
            hint = nearest(name, known) or f"It takes {', '.join(known) or 'none'}."
            raise Usage(f"{verb.name} has no argument {name!r}.", hint=hint)
    missing = [name for name, parameter in known.items() if parameter.required and name not in given]
    if missing:
        raise Usage(f"{verb.name} needs {' and '.join(missing)}.", hint=f"See `mlex help {verb.name}`.")
    named = {name: _named(verb, name, value) for name, value in given.items()}
    versions = [
        value.version for name, value in given.items() if name in VERSIONED and isinstance(value, Model | ZooEntry)
    ]
    if versions and versions[0] is not None and "version" in known:
        named.setdefault("version", versions[0])
    return {name: _typed(known[name], value) for name, value in named.items()}


def _named(verb: Verb, parameter: str, value: Any) -> Any:
    meant = kinds(verb, parameter)
    if isinstance(value, list | tuple):
        return tuple(_named(verb, parameter, item) for item in value)
    if not meant or not isinstance(value, Record) or isinstance(value, Code):
        return value
    if isinstance(value, meant) and (name := reference(value, parameter)) is not None:
        return name
    if isinstance(value, meant):
        raise Usage(
            f"The job {getattr(value, 'name', '')!r} has made no dataset that could be {parameter!r}.",
            hint="Wait until it is done, and ask for it anew: `mlex.job(…)`.",
        )
    wanted = " or ".join(kind.__name__ for kind in meant)
    raise Usage(f"{verb.name} wants a {wanted}, or its name, for {parameter!r}: not a {type(value).__name__}.")


def _typed(parameter: Parameter, value: Any) -> Any:
    try:
        return _adapter(parameter.type).validate_python(value)
    except ValidationError as error:
        raise Usage(invalid(error, parameter.name).message) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
