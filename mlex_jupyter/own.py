"""What a person wrote in a cell, where a name is meant: `mlex.check(Net)`, `mlex.train(Net, …)`, `@mlex.model(…)`.

Its source is captured when it is used, never before; the object itself goes nowhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mlex_jupyter.capture import code_of
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.models import architecture

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
    from mlex_jupyter.sync import shown_model

    return shown_model(*(() if name is None else (name,)), **shown)
