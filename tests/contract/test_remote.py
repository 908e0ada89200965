"""The façade over HTTP, from the table: every verb with a route is called once, and all else stands on those."""

from __future__ import annotations

import ast
import enum
import inspect
import json
import textwrap
import types
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import AwareDatetime, BaseModel

from mlex_jupyter.app import Mlex
from mlex_jupyter.client import Client
from mlex_jupyter.errors import Conflict, Invalid, Unavailable
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.remote import Remote
from mlex_jupyter.server.http import Router, as_answer
from mlex_jupyter.types import Record
from mlex_jupyter.verbs import Verb, table

VERBS = table(Mlex)
ROUTED = [name for name, verb in VERBS.items() if verb.route]
COMPOSED = [name for name, verb in VERBS.items() if not verb.route]
BESIDES_VERBS = {"here", "changed", "news", "keep_moving"}
"""What a composed verb may stand on that is no verb: `Remote` has it in its own way."""

# ---------------------------------------------------------------- one value of each type


def example(kind: Any, name: str = "") -> Any:
    """A value of a type, unlike every default, with what makes trouble in addresses where a text may be anything."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return example(inside[0], "a-name.1" if "pattern" in repr(inside[1:]) else name)
    if origin in (typing.Union, types.UnionType):
        return example(next(part for part in inside if part is not type(None)), name)
    if origin is typing.Literal:
        return inside[-1]
    if origin in (tuple, list):
        parts = [part for part in inside if part is not Ellipsis]
        return origin(example(part, name) for part in (parts * 2 if Ellipsis in inside or origin is list else parts))
    if origin is dict:
        return {"key": example(inside[1], name)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind)[-1]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return record(kind)
    if isinstance(kind, typing.TypeVar) or "JsonValue" in repr(kind):
        return 7
    plain: dict[Any, Any] = {
        str: name or "a b/ü?&#%..\N{SEEDLING}",
        int: 3,
        float: 2.5,
        bool: True,
        bytes: b"\x00x",
        datetime: datetime(2026, 1, 2, tzinfo=timezone.utc),
        AwareDatetime: datetime(2026, 1, 2, tzinfo=timezone.utc),
        Path: Path("/a b"),
    }
    return plain[kind] if kind in plain else plain[str]


def record(kind: type[BaseModel]) -> Any:
    fields = {}
    for name, field in kind.model_fields.items():
        if field.is_required():
            pattern = next((getattr(part, "pattern", None) for part in field.metadata), None)
            extra = field.json_schema_extra
            named = (isinstance(extra, dict) and "pattern" in extra) or "_a_name" in repr(field.metadata)
            fields[name] = "#0080ff" if pattern else "a-name.1" if named else example(field.annotation)
    return kind(**fields)


# ---------------------------------------------------------------- a server that notes what it is asked


class Heard(Conflict):
    """A verb was reached over there."""


class Noting(Mlex):
    """The engine of a server whose verbs note how they were called, and do nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []


def _note(verb: Verb) -> Callable[..., Any]:
    async def note(self: Noting, *args: Any, **given: Any) -> None:
        self.calls.append((verb.name, dict(inspect.signature(verb.function).bind(self, *args, **given).arguments)))
        raise Heard(f"{verb.name} was called.", hint="As it should be.")

    note.__verb__ = Verb(verb.name, note, verb.route, verb.shell, verb.flags)  # type: ignore[attr-defined]
    note.__signature__ = inspect.signature(verb.function)  # type: ignore[attr-defined]
    note.__annotations__ = typing.get_type_hints(verb.function, include_extras=True)
    note.__name__ = verb.name
    return note


for _name in ROUTED:
    setattr(Noting, _name, _note(VERBS[_name]))


class Wire(httpx.AsyncBaseTransport):
    """From a client straight into a router."""

    def __init__(self, facade: Mlex) -> None:
        self.router = Router(facade)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.raw_path.decode().partition("?")[0].partition("mlex/api/v1/")[2]
        query: dict[str, list[str]] = {}
        for name, value in request.url.params.multi_items():
            query.setdefault(name, []).append(value)
        try:
            answer = await self.router.answer(request.method, path, query, await request.aread())
        except Conflict as error:
            answer = as_answer(error)
        return httpx.Response(answer.status, content=answer.body)


@pytest.fixture
async def noting() -> AsyncIterator[tuple[Remote, Noting, Wire]]:
    there = Noting()
    wire = Wire(there)
    async with Remote("", client=Client("http://there:1/user/me/lab", "secret", transport=wire)) as remote:
        yield remote, there, wire


# ---------------------------------------------------------------- every verb


@pytest.mark.parametrize("name", ROUTED)
async def test_a_verb_with_a_route_is_asked_with_every_argument_as_it_was_given(
    name: str, noting: tuple[Remote, Noting, Wire]
) -> None:
    remote, there, wire = noting
    given = {parameter.name: example(parameter.type) for parameter in VERBS[name].parameters}
    with pytest.raises(Conflict, match=f"{name} was called") as caught:
        await getattr(remote, name)(**given)
    assert caught.value.hint == "As it should be."
    ((called, arguments),) = there.calls
    arguments.pop("self")
    assert called == name
    assert _without_key(arguments) == _without_key(given)
    (request,) = wire.requests
    assert request.headers["authorization"] == "token secret"
    assert "secret" not in str(request.url)
    assert str(request.url).startswith("http://there:1/user/me/mlex/api/v1/")


def _without_key(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A key of its own is given to what is asked without one, so that it can be asked again."""
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in arguments.items()}
    return {
        name: {field: part for field, part in value.items() if field != "key"} if isinstance(value, dict) else value
        for name, value in plain.items()
        if name != "key"
    }


@pytest.mark.parametrize("name", ROUTED)
async def test_a_verb_with_a_route_needs_no_more_over_there_than_here(
    name: str, noting: tuple[Remote, Noting, Wire]
) -> None:
    remote, there, _ = noting
    needed = [parameter for parameter in VERBS[name].parameters if parameter.required]
    words = [example(parameter.type) for parameter in needed if parameter.positional]
    with pytest.raises(Conflict):
        await getattr(remote, name)(*words, **{one.name: example(one.type) for one in needed if not one.positional})
    assert [called for called, _ in there.calls] == [name]


@pytest.mark.parametrize("name", VERBS)
def test_signature_help_and_types_are_those_of_the_facade(name: str) -> None:
    assert inspect.signature(getattr(Remote, name)) == inspect.signature(getattr(Mlex, name))
    assert inspect.getdoc(getattr(Remote, name)) == inspect.getdoc(getattr(Mlex, name))
    assert table(Remote)[name].returns == VERBS[name].returns


@pytest.mark.parametrize("name", COMPOSED)
def test_a_verb_without_a_route_stands_on_verbs_alone(name: str) -> None:
    """So it works over any server, and need not be written again."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        source = textwrap.dedent(inspect.getsource(getattr(Mlex, waiting.pop())))
        used = {
            node.attr
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        }
        helpers = {attribute for attribute in used if attribute.startswith("_")}
        strange = used - set(VERBS) - BESIDES_VERBS - helpers
        assert not strange, f"{name} uses self.{', self.'.join(strange)}: over HTTP there is no such thing"
        waiting += sorted(helpers - seen)
        seen |= helpers


def test_what_composed_verbs_stand_on_is_there_and_nothing_else_of_an_engine() -> None:
    for name in BESIDES_VERBS:
        assert name in vars(Remote), name
        assert hasattr(Parts, name)


async def test_a_part_of_an_engine_is_not_within_reach(noting: tuple[Remote, Noting, Wire]) -> None:
    remote, _, _ = noting
    for part in ("store", "settings", "job_list"):
        with pytest.raises(Unavailable, match="not within reach"):
            getattr(remote, part)


async def test_a_name_stays_one_name_whatever_it_holds(noting: tuple[Remote, Noting, Wire]) -> None:
    remote, there, _ = noting
    names = ["..", ".", "../../jobs", "a/b", "%2e%2e", "?x=1", "#", "ü \N{SEEDLING}", "a\nb", "..."]
    for name in names:
        with pytest.raises(Conflict):
            await remote.job(name)
    assert [arguments["run"] for _, arguments in there.calls] == names
    for name in ("", "\ud800"):
        with pytest.raises(Invalid):
            await remote.job(name)


async def test_text_that_is_none_is_refused_here(noting: tuple[Remote, Noting, Wire]) -> None:
    remote, there, _ = noting
    with pytest.raises(Invalid):
        await remote.register("\ud800")
    with pytest.raises(Invalid):
        await remote.data("\ud800")
    assert there.calls == []


def test_every_argument_of_a_get_fits_into_an_address() -> None:
    for name in ROUTED:
        verb = VERBS[name]
        for parameter in verb.parameters if verb.route and verb.route.method == "GET" else ():
            sent = example(parameter.type)
            assert not isinstance(sent, dict | Record), f"{name}: {parameter.name} cannot stand in a query"
            assert json.dumps(sent, default=str)
