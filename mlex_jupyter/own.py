"""What a person wrote in a cell, where a name is meant: `mlex.check(Net)`, `mlex.train(Net, …)`, `@mlex.model(…)`.

Its source is captured when it is used, never before; the object itself goes nowhere.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from mlex_jupyter.capture import code_of, in_words
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.models import architecture
from mlex_jupyter.types import Dataset, Job, LabelSet, Model

if TYPE_CHECKING:
    from mlex_jupyter.types import Code
    from mlex_jupyter.verbs import Verb

Thing = TypeVar("Thing", bound=Callable[..., Any])
NETWORK = ("model", "architecture", "source")
"""The arguments that may be a network of one's own."""


def is_own(thing: Any) -> bool:
    """Whether it is something that a person wrote, and no value."""
    return inspect.isclass(thing) or inspect.isfunction(thing)


def brought(verb: Verb, given: Mapping[str, Any], listed: Callable[[Code], str]) -> dict[str, Any]:
    """The arguments, with its source in place of a network of one's own, or the name under which it is `listed`."""

    def meant(name: str, value: Any) -> Any:
        if name not in NETWORK or not is_own(value):
            return value
        return code_of(value) if verb.name in ("check", "ingest") else listed(code_of(value))

    return {name: meant(name, value) for name, value in given.items()}


def model(
    name: str | Thing | None = None,
    /,
    *,
    title: str = "",
    description: str = "",
    divisible_by: str = "1",
    halo: str | None = None,
    channels: int | None = None,
    **shown: Any,
) -> Any:
    """Mark a class or function of one's own as a network: `@mlex.model(title="…", divisible_by="8")`.

    With a name it shows a published model, as every face does: `mlex.model("pores", version=2)`.
    """

    def mark(thing: Thing) -> Thing:
        about = (inspect.getdoc(thing) or "").partition("\n")[0] if vars(thing).get("__doc__") else ""
        return architecture(
            title=title or thing.__name__,
            description=description or about,
            divisible_by=divisible_by,
            halo=halo,
            channels=channels,
        )(thing)

    if name is not None and is_own(name):
        return mark(name)  # type: ignore[arg-type]
    if name is None and not shown:
        return mark
    if title or description:
        raise Invalid("mlex.model shows a model by its name, or marks a network with title=….")
    from mlex_jupyter.sync import verb_function

    return verb_function("model")(*(() if name is None else (name,)), **shown)


def run(what: Any = None, /, *args: Any, **given: Any) -> Any:
    """Run a function of one's own as a job: `mlex.run(work, "sand-tomo", sigma=2, name="smooth", wait=True)`.

    Its source travels with what it uses, and its arguments as JSON; `mlex.returned(job)` is what it returned. Options
    of a job (name, target, resources, after, experiment, key, folder, retries, retry_failed, wait) are not the
    function's; what it has of these names is given as `arguments={…}`. A command is `mlex.run(["python", "my.py"])`.
    """
    from mlex_jupyter.sync import verb_function

    if not is_own(what):
        return verb_function("run")(*(() if what is None else (what,)), *args, **given)
    call = verb_function("run_code")
    options = {name for name in inspect.signature(call).parameters if name not in ("code", "arguments")}
    named = {name: value for name, value in given.items() if name not in options | {"arguments"}}
    arguments = _bound(what, args, {**named, **given.get("arguments", {})})
    return call(code_of(what), arguments, **{name: value for name, value in given.items() if name in options})


def _bound(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, as JSON."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **named).arguments
    except TypeError as error:
        raise Invalid(f"{function.__name__}{signature}: {error}.", hint="Give what it takes.") from error
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound |= bound.pop(name, {})
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY) and name in bound:
            raise Invalid(f"{function.__name__} takes {name} without a name.", hint="Give its parameters names.")
    return {name: _json(name, value) for name, value in bound.items()}


def _json(name: str, value: Any) -> Any:
    """A value as JSON has it; a dataset or a job by its name."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case PurePath():
            return str(value)
        case Job() | Dataset() | Model() | LabelSet():
            return value.id if isinstance(value, Job) else value.name
        case list() | tuple():
            return [_json(name, one) for one in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _json(name, one) for key, one in value.items()}
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _json(name, value.item())
    hint = "Give numbers, texts, lists and mappings, or make it in the function."
    if hasattr(value, "shape"):
        hint = "Register the data (`mlex.register`), give the dataset's name, and open it in the function."
    raise Invalid(f"{name} is {in_words(value)}, which cannot travel as JSON.", hint=hint)
