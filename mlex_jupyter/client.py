"""Plain HTTP to another MLEx server: one request, its retries, and what was refused as the error that it was there.

The token goes into a header and nowhere else. No redirect is followed, since it may lead the token to another host.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from mlex_jupyter import errors
from mlex_jupyter.errors import Forbidden, Invalid, MlexError, NotFound, Unavailable
from mlex_jupyter.pieces import InMemory, Parts
from mlex_jupyter.types import Event, Problem

API = "mlex/api/v1"
TIMEOUT = httpx.Timeout(120, connect=10)
"""A request may make the sample volume, or wait behind others; a connection is there or it is not."""
WAITS_S = (0.2, 0.8, 2.0)
"""Before each further attempt."""
TRY_AGAIN = frozenset({429, 502, 503, 504})
SILENT_S = 50
"""The server says something every 15 s, if only `[]`; after longer the stream is taken for dead."""
HOPELESS = (4400, 4409)
"""Why the server closes a stream that it would close again: the id is none, or of another home."""
LARGEST_MESSAGE = 1 << 28
PAGES = frozenset({"lab", "tree", "notebooks", "doc", "edit", "login", "mlex", "hub", "api"})
"""Where an address that was copied from a browser leaves the server and goes on to one of its pages."""
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
BYTES = "application/octet-stream"
Sender = Callable[[], Awaitable[httpx.Response]]
EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where a server is, and the token that stood in the address that a person gave."""

    url: str
    token: str | None

    @classmethod
    def of(cls, text: str) -> Address:
        """`https://hub/user/me/lab/tree/x.ipynb?token=…` is the server `https://hub/user/me/`."""
        try:
            parts = urlsplit(text.strip())
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise Invalid(f"{_without_secrets(text)!r} is no address: {error}.") from error
        if parts.scheme not in ("http", "https") or not host or parts.username:
            raise Invalid(
                f"{_without_secrets(text)!r} is not the address of a Jupyter server.",
                hint="Copy it from your browser, as https://hub.example.org/user/me/lab.",
            )
        base = "".join(f"{part}/" for part in _base([part for part in parts.path.split("/") if part]))
        token = parse_qs(parts.query).get("token", [None])[-1]
        return cls(f"{parts.scheme}://{parts.netloc}/{base}", token)

    @property
    def open_to_listeners(self) -> bool:
        """Whether what is sent there can be read on the way."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in THIS_MACHINE


def _base(parts: Sequence[str]) -> Sequence[str]:
    begin = next((place + 2 for place, part in enumerate(parts) if part in ("user", "services")), 0)  # of any name
    end = next((place for place in range(begin, len(parts)) if parts[place] in PAGES), len(parts))
    return parts[:end]


def _without_secrets(text: str) -> str:
    return re.sub("//[^/]*@", "//", re.split(r"[?#]", text, maxsplit=1)[0])[:200]


class Client:
    """One server, asked by one person."""

    def __init__(
        self, url: str, token: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        address = Address.of(url)
        self.url = address.url
        self._token = token or address.token
        if self._token and not re.fullmatch(r"[\x21-\x7e]+", self._token):
            raise Invalid("The token is none: it has characters that no token has.")
        if self._token and address.open_to_listeners:
            log.warning("%s is not encrypted: who listens on the way can read the token. Prefer https.", self.url)
        self._through = transport
        self._http = httpx.AsyncClient(
            base_url=f"{self.url}{API}", headers=self._headers(), timeout=TIMEOUT, transport=transport
        )

    def __repr__(self) -> str:
        """Where it is; not the token."""
        return f"Client({self.url!r})"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self._token}"} if self._token else {}

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
        if "_pieces" in vars(self):
            self._pieces.close()

    @cached_property
    def _pieces(self) -> httpx.Client:
        """For bodies that are large: a thread that does nothing but send takes half the time of a loop."""
        return httpx.Client(base_url=self._http.base_url, headers=self._headers(), timeout=TIMEOUT)

    # ------------------------------------------------------------ one request

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None, again: bool = False
    ) -> bytes:
        """The answer's body. What can be asked twice (every GET, and what is `again`) is, when no answer came."""
        try:
            send = self._sender(method, path, query, body)
        except (ValueError, httpx.InvalidURL) as error:  # half a character, an endless number
            raise Invalid(f"This cannot be sent: {error}.") from error
        response = await self._sent(send, again or method == "GET")
        if response.is_success:
            return response.content
        raise self._refused(response)

    def _sender(self, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> Sender:
        """The request, to be sent as often as it must."""
        if isinstance(body, bytes):
            body = InMemory(body)
        if isinstance(body, Parts) and self._through is None:
            headers = {"Content-Type": BYTES, "Content-Length": str(body.size)}
            large = self._pieces.build_request(method, path, params=query, content=body, headers=headers)
            return partial(_in_thread, self._pieces, large, body)
        content = None if body is None else b"".join(body) if isinstance(body, Parts) else _json(body)
        headers = {} if body is None else {"Content-Type": BYTES if isinstance(body, Parts) else "application/json"}
        request = self._http.build_request(method, path, params=query, content=content, headers=headers)
        return partial(self._http.send, request)

    async def _sent(self, send: Sender, again: bool) -> httpx.Response:
        for wait_s in (*WAITS_S, None):
            try:
                response = await send()
            except httpx.TransportError as error:
                # What never got through did nothing, so it may be sent again whatever it was.
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if wait_s is None or not (again or unsent) or _distrusted(error):
                    raise self._unreachable(error) from error
            else:
                if wait_s is None or not again or response.status_code not in TRY_AGAIN or _problem(response):
                    return response
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> MlexError:
        if _distrusted(error):
            return Unavailable(
                f"The certificate of {self.url} cannot be trusted: {error}.",
                hint="If your facility signs its own, let SSL_CERT_FILE name its certificate.",
            )
        if isinstance(error, httpx.TimeoutException):
            return Unavailable(
                f"{self.url} gave no answer in time.", hint="What was asked may have been done: look before you repeat."
            )
        said = str(error) or type(error).__name__
        return Unavailable(f"{self.url} cannot be reached: {said}.", hint="Is the address right, and does it run?")

    def _refused(self, response: httpx.Response) -> MlexError:
        if said := _problem(response):
            return self._without_login() if said.code == "forbidden" and not said.hint else raised(said, response)
        status = response.status_code
        if response.is_redirect:
            to = _without_secrets(response.headers.get("location", ""))
            if "login" in to or "oauth" in to:
                return self._without_login()
            return Unavailable(f"{self.url} sends on to {to}, where the token is not sent.", hint=f"Connect to {to}.")
        if status in (401, 403):
            return self._without_login()
        if status == 404:
            return NotFound(
                f"There is no MLEx at {self.url}.",
                hint="Install mlex-jupyter there; behind a Hub the address is that of a user, https://hub/user/NAME/.",
            )
        if status in (424, 503):
            return Unavailable(f"{self.url} is not running.", hint="Start the server, on its Hub for example.")
        return Unavailable(f"{self.url} answered with {status} {response.reason_phrase}.", hint="Its log says why.")

    def _without_login(self) -> Forbidden:
        missing = "accepts no one without a token" if not self._token else "does not accept this token"
        return Forbidden(
            f"{self.url} {missing}.", hint="Give the token of that server, or of a Hub's token page, in MLEX_TOKEN."
        )

    # ------------------------------------------------------------ what happens

    async def stream(self, after: int) -> AsyncIterator[list[Event]]:
        """The events after an id as they happen, for ever: a connection that is lost is made again where it ended."""
        while True:
            begun = after
            async for events in self._listen(after):
                after = events[-1].id if events else after
                yield events
            if after == begun:
                await self.ask("GET", "/hello")  # says in words why nothing can be heard, or that it may be tried again
                await asyncio.sleep(WAITS_S[1])

    async def _listen(self, after: int) -> AsyncIterator[list[Event]]:
        from tornado.httpclient import HTTPError, HTTPRequest
        from tornado.websocket import websocket_connect

        url = f"{self.url.replace('http', 'ws', 1)}{API}/stream?after={after}"
        request = HTTPRequest(url, headers=self._headers(), follow_redirects=False, connect_timeout=10)
        try:
            socket = await websocket_connect(request, max_message_size=LARGEST_MESSAGE)
        except (HTTPError, OSError, ValueError):
            return
        try:
            while message := await asyncio.wait_for(socket.read_message(), SILENT_S):
                yield EVENTS.validate_json(message)
            if socket.close_code in HOPELESS:
                raise Invalid(f"The stream of events was refused: {socket.close_reason}.")
        except TimeoutError:
            return
        finally:
            socket.close()


def _json(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False, ensure_ascii=False).encode()


async def _in_thread(client: httpx.Client, request: httpx.Request, body: Parts) -> httpx.Response:
    try:
        return await asyncio.to_thread(client.send, request)
    except asyncio.CancelledError:
        body.stopped = True
        raise


def _distrusted(error: httpx.TransportError) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _problem(response: httpx.Response) -> Problem | None:
    """What our own extension says; a proxy, a Hub or an older Jupyter says something else."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def raised(said: Problem, response: httpx.Response) -> MlexError:
    """The error that a Problem was over there."""
    kind = next((kind for kind in _kinds(MlexError) if kind.code == said.code), MlexError)
    error = kind(said.message, hint=said.hint)
    error.status, error.code, error.transient = response.status_code, said.code, said.transient
    if said.details is not None:
        vars(error)["details"] = said.details
    return error


def _kinds(kind: type[MlexError]) -> Iterator[type[MlexError]]:
    """Those of errors.py first: what other modules make of them is theirs."""
    yield from sorted(_all(kind), key=lambda found: found.__module__ != errors.__name__)


def _all(kind: type[MlexError]) -> Iterator[type[MlexError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _all(child)


def filled(path: str, names: Mapping[str, str]) -> str:
    """A route with its names put in, each as one part of the path whatever it holds."""
    for name, value in names.items():
        if not value:
            raise Invalid(f"{name} is empty.")
        try:
            part = quote(value, safe="")
        except UnicodeEncodeError as error:
            raise Invalid(f"{name} = {value!r} will not do: it is no text.") from error
        path = path.replace(f"{{{name}}}", part if part.strip(".") else part.replace(".", "%2E"))
    return path
