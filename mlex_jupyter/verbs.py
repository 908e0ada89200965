"""The table of verbs: what a person can do, said once, as decorators on `Mlex`'s own methods.

    @verb("POST", "/jobs/{run}/cancel")          a verb with a route: REST, OpenAPI, TypeScript and remote client
    async def cancel(self, run: str) -> Job: ...
    @verb()                                      a verb made of other verbs: every face but REST

Positional parameters are positional on the command line, keyword-only ones are options, and a parameter whose
type is a `Record` is flattened into one option a field (`--gpus 1`). The first line of the docstring is the help.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Route:
    """Where a verb stands in REST."""

    method: str
    path: str
    status: int
    body: str | None
    """The parameter that is the whole body; without it, what is not in the path is the query or a JSON object.

    Bytes are sent as they are, and the other arguments are then the query.
    """


@dataclass(frozen=True)
class Parameter:
    """One argument of a verb, with its resolved type."""

    name: str
    type: Any
    default: Any
    positional: bool

    @property
    def required(self) -> bool:
        """True when it cannot be left out."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Verb:
    """One row of the table."""

    name: str
    function: Callable[..., Any]
    route: Route | None
    shell: bool
    """Whether `mlex NAME` and `%mlex NAME` exist."""
    flags: dict[str, str]
    """One-letter options, by parameter."""

    @property
    def help(self) -> str:
        """The one line that every face shows."""
        return (inspect.getdoc(self.function) or "").split("\n", 1)[0]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments after `self`, types resolved."""
        return _parameters(self.function)

    @property
    def sends_bytes(self) -> bool:
        """Whether its body is bytes, and no JSON."""
        body = self.route and self.route.body
        kinds = [parameter.type for parameter in self.parameters if parameter.name == body]
        return any(bytes in (kind, *typing.get_args(kind)) for kind in kinds)

    @property
    def returns(self) -> Any:
        """The resolved return type."""
        return typing.get_type_hints(self.function, include_extras=True)["return"]


@cache
def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    hints = typing.get_type_hints(function, include_extras=True)
    return tuple(
        Parameter(name, hints[name], parameter.default, parameter.kind is not inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    )


def verb(
    method: str | None = None,
    path: str = "",
    *,
    status: int = 200,
    body: str | None = None,
    shell: bool = True,
    flags: dict[str, str] | None = None,
) -> Callable[[F], F]:
    """Mark a method of the façade as something that people can do."""

    def mark(function: F) -> F:
        route = Route(method, path, status, body) if method else None
        function.__verb__ = Verb(function.__name__, function, route, shell, flags or {})  # type: ignore[attr-defined]
        return function

    return mark


def table(facade: type) -> dict[str, Verb]:
    """The verbs of a façade class, in the order of its bases and of their lines."""
    verbs: dict[str, Verb] = {}
    for base in facade.__mro__:
        for member in vars(base).values():
            if isinstance(found := getattr(member, "__verb__", None), Verb):
                verbs.setdefault(found.name, found)
    return verbs
