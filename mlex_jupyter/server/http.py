"""The table of verbs as HTTP: which verb a request means, its arguments, and errors as Problems.

Nothing here knows a verb by name. A route's `{name}`s come from the path; of a GET the other arguments come from the
query, of a POST from a JSON object, or the whole body is the one argument that the route says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import responses
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from tornado.web import HTTPError

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, MlexError, NotFound, nearest
from mlex_jupyter.pieces import Piece
from mlex_jupyter.types import Problem, invalid
from mlex_jupyter.verbs import Parameter, Route, Verb, table

JSON = "application/json"
CODES = {400: "invalid", 401: "forbidden", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = JSON
    cache_s: int = 0


class MethodNotAllowed(MlexError):
    """The path is right, the method is not."""

    status = 405
    code = "method_not_allowed"


def as_answer(error: MlexError) -> Answer:
    """An error as the Problem that every face shows."""
    return Answer(error.status, Problem.of(error).model_dump_json().encode())


def refusal(status: int, error: BaseException | None) -> Answer:
    """What was refused, or failed, before a verb was reached: as a Problem, with Jupyter's own status."""
    if isinstance(error, MlexError):
        return as_answer(error)
    said = responses.get(status, "It failed")
    if isinstance(error, HTTPError) and error.log_message:
        said = error.log_message % error.args
    return Answer(status, Problem(code=CODES.get(status, "error"), message=f"{said}.").model_dump_json().encode())


class Call:
    """One verb with a route, ready to be called."""

    def __init__(self, verb: Verb, route: Route) -> None:
        self.verb = verb
        self.route = route
        self.pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))
        self.parameters = {parameter.name: parameter for parameter in verb.parameters}
        self.bytes = route.body if verb.sends_bytes else None
        """The argument that is the body as it comes."""
        self.types = {
            name: TypeAdapter[Any](parameter.type) for name, parameter in self.parameters.items() if name != self.bytes
        }
        self.returns = TypeAdapter[Any](verb.returns)

    async def answer(self, mlex: Mlex, in_path: Mapping[str, str], query: Query, body: bytes | Piece) -> Answer:
        """Check the arguments, call the method, and say what it returned."""
        given: dict[str, Any] = {**self._others(query, body), **in_path}
        arguments = {name: self._checked(name, value) for name, value in given.items()}
        for name, parameter in self.parameters.items():
            if parameter.required and name not in arguments:
                raise Invalid(f"{self.verb.name} needs {name}.")
        result = await self.verb.function(mlex, **arguments)
        return Answer(self.route.status, self.returns.dump_json(result))

    def _others(self, query: Query, body: bytes | Piece) -> dict[str, Any]:
        if self.route.method == "GET":
            return {name: self._from_query(name, values) for name, values in query.items()}
        if self.bytes:
            return {name: self._from_query(name, values) for name, values in query.items()} | {self.bytes: body}
        if not isinstance(body, bytes):
            raise Invalid(f"{self.verb.name} takes no bytes.")
        try:
            sent = from_json(body) if body.strip() else {}
        except ValueError as error:
            raise Invalid(f"The body is not JSON: {error}.") from error
        if self.route.body:
            return {self.route.body: sent}
        if not isinstance(sent, dict):
            raise Invalid("The body must be a JSON object with the arguments.")
        return sent

    def _from_query(self, name: str, values: Sequence[str]) -> Any:
        many = str(self._known(name).type).startswith("tuple")
        return list(values) if many else values[-1]

    def _known(self, name: str) -> Parameter:
        if name not in self.parameters:
            hint = nearest(name, self.parameters) or f"It takes {', '.join(self.parameters) or 'no arguments'}."
            raise Invalid(f"{self.verb.name} takes no argument {name[:80]!r}.", hint=hint)
        return self.parameters[name]

    def _checked(self, name: str, value: Any) -> Any:
        self._known(name)
        if name == self.bytes:
            return value
        try:
            return self.types[name].validate_python(value)
        except ValidationError as error:
            raise invalid(error, name) from error


Query = Mapping[str, Sequence[str]]


class Router:
    """From a method and a path to a verb."""

    def __init__(self, mlex: Mlex) -> None:
        self.mlex = mlex
        calls = [Call(verb, verb.route) for verb in table(type(mlex)).values() if verb.route]
        self.calls = sorted(calls, key=lambda call: call.pattern.groups)
        self._near: dict[str, list[Call]] = {}
        """By the first part of their paths."""
        for call in self.calls:
            self._near.setdefault(_begin(call.route.path), []).append(call)

    async def answer(self, method: str, path: str, query: Query, body: bytes | Piece) -> Answer:
        """Find the verb and call it."""
        path = "/" + path.strip("/")
        near = self._near.get(_begin(path), [])
        fitting = [(call, match) for call in near if (match := call.pattern.fullmatch(path))]
        for call, match in fitting:
            if call.route.method == method:
                in_path = {name: unquote(value) for name, value in match.groupdict().items()}
                return await call.answer(self.mlex, in_path, query, body)
        if fitting:
            raise MethodNotAllowed(f"{method} is not possible here.")
        raise NotFound(f"There is nothing at {path[:200]!r}.", hint="The OpenAPI document lists what there is.")


def _begin(path: str) -> str:
    return path.split("/", 2)[1]
