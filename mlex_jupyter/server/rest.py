"""Every REST route as one handler: Jupyter's login, permission, and an answer or a Problem."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from mlex_jupyter.server import BASE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlex_jupyter.pieces import Piece
    from mlex_jupyter.server.extension import Later
    from mlex_jupyter.server.http import Answer

    Question = Callable[[bytes | Piece], Awaitable[Answer]]


class RestHandler(APIHandler):
    """Every REST route: what it is is said by the table of verbs."""

    auth_resource = "mlex"

    def initialize(self, later: Later) -> None:
        """Know where the service is."""
        self.later = later

    async def question(self) -> Question:
        """What is asked; it lacks the body."""
        service = await self.later.get()
        given = self.request.query_arguments.keys() - {"token"}  # Jupyter's own, for who cannot send headers
        return partial(
            service.answer,
            self.request.method or "GET",
            self.request.path.partition(f"{BASE}/")[2],  # as it was sent: decoded once, where its parts are known
            {name: self.get_query_arguments(name, strip=False) for name in given},
        )

    def body(self) -> bytes:
        """What came with the request."""
        return self.request.body

    async def _answer(self) -> None:
        ask = await self.question()
        self._send(await ask(self.body()))

    def _send(self, answer: Answer) -> None:
        self.set_status(answer.status)
        if answer.cache_s:
            self.set_header("Cache-Control", f"private, max-age={answer.cache_s}")
        self.finish(answer.body, set_content_type=answer.content_type)

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self, path: str) -> None:
        """Read something."""
        await self._answer()

    @web.authenticated
    @authorized("write")  # type: ignore[untyped-decorator]
    async def post(self, path: str) -> None:
        """Ask for something."""
        await self._answer()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What fails before a verb is reached is a Problem too."""
        from mlex_jupyter.server.http import refusal

        self._send(refusal(status_code, kwargs["exc_info"][1] if "exc_info" in kwargs else None))
