"""Another MLEx server as if it were here: the façade, with a request in place of every verb that has a route.

A verb without a route (train, wait, logs -f, …) is the façade's own function: it is made of other verbs, and so of
requests. What comes back, values and errors alike, is of the same types.

    async with Remote("https://hub.example.org/user/me/", token) as lab:
        job = await lab.train("tunet", data="sand-tomo", labels="scribbles", wait=True)
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable
from functools import cached_property, wraps
from types import TracebackType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlex_jupyter import __version__
from mlex_jupyter.app import Mlex
from mlex_jupyter.client import Client, filled
from mlex_jupyter.errors import Invalid, Unavailable
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.pieces import Piece
from mlex_jupyter.types import Event, Record, new_id
from mlex_jupyter.verbs import Route, Verb, table

LOOK_EVERY_S = 0.5


class Remote(Mlex):
    """The engine of another server, for whom its token belongs to."""

    def __init__(self, url: str, token: str | None = None, *, client: Client | None = None) -> None:
        self.client = client or Client(url, token)

    def __repr__(self) -> str:
        """Where it is."""
        return f"Remote({self.client.url!r})"

    async def __aenter__(self) -> Remote:
        """Made to be closed again."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self.client.close()

    def close(self) -> None:
        """There are no files here; the connections end with `aclose`."""

    # ------------------------------------------------------------ what composed verbs stand on besides verbs

    def here(self) -> str | None:
        """No folder: where the caller stands is nowhere over there."""
        return None

    def keep_moving(self) -> None:
        """The server sees to it by itself."""

    async def changed(self, within_s: float) -> None:
        """Something may have."""
        await asyncio.sleep(min(within_s, LOOK_EVERY_S))

    async def news(self, after: int, subject: str | None = None) -> AsyncIterator[list[Event]]:
        """Batches of events after an id, for ever."""
        async for events in self.client.stream(after):
            yield [event for event in events if subject in (None, event.subject)]


def _request(verb: Verb, route: Route) -> Callable[..., Any]:
    """A verb as a request, with the signature and the help that it has in the façade."""
    signature = inspect.signature(verb.function)

    @wraps(verb.function)
    async def ask(*args: Any, **named: Any) -> Any:
        given = dict(signature.bind(*args, **named).arguments)
        remote: Remote = given.pop("self")
        again = _keyed(verb, given)
        sent = {name: _plain(verb, name, value) for name, value in given.items()}
        path = filled(route.path, {name: str(sent.pop(name)) for name in re.findall(r"\{(\w+)\}", route.path)})
        if route.method == "GET" or verb.sends_bytes:
            body = sent.pop(str(route.body), None)
            query = {name: value for name, value in sent.items() if value is not None}
            answer = await remote.client.ask(route.method, path, query=query, body=body, again=verb.sends_bytes)
        else:
            body = sent[route.body] if route.body else sent
            answer = await remote.client.ask(route.method, path, body=body, again=again)
        return _understood(verb, answer)

    return ask


def _keyed(verb: Verb, given: dict[str, Any]) -> bool:
    """Give a request that takes a key one, so that it can be sent again when its answer was lost."""
    if any(parameter.name == "key" for parameter in verb.parameters):
        given["key"] = given.get("key") or new_id("ask")
        return True
    for name, value in given.items():
        if isinstance(value, Record) and "key" in type(value).model_fields:
            given[name] = value.model_copy(update={"key": getattr(value, "key", None) or new_id("ask")})
            return True
    return False


def _plain(verb: Verb, name: str, value: Any) -> Any:
    """An argument as JSON has it."""
    if isinstance(value, bytes | Piece):
        return value
    kind = next(parameter.type for parameter in verb.parameters if parameter.name == name)
    try:
        return TypeAdapter(kind).dump_python(value, mode="json", warnings="error")
    except ValueError as error:
        raise Invalid(f"{name} = {repr(value)[:80]} will not do.") from error


def _understood(verb: Verb, answer: bytes) -> Any:
    try:
        return TypeAdapter[Any](verb.returns).validate_json(answer)
    except ValidationError as error:
        raise Unavailable(
            f"What the server says to {verb.name} cannot be understood here, by MLEx {__version__}.",
            hint="Install the version that the server has: `hello` says which.",
        ) from error


def _elsewhere(name: str) -> property:
    def refuse(remote: Remote) -> Any:
        raise Unavailable(f"This can only be done where {remote.client.url} runs: its {name} is not within reach here.")

    return property(refuse)


for _verb in table(Mlex).values():
    if _verb.route is not None:
        setattr(Remote, _verb.name, _request(_verb, _verb.route))
for _name, _member in [*vars(Parts).items(), ("settings", cached_property(lambda _: None))]:
    if isinstance(_member, cached_property):
        setattr(Remote, _name, _elsewhere(_name))
