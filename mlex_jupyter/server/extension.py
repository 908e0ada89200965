"""How the extension is loaded: three routes now, everything behind them when it is first needed.

The engine (pydantic, SQLAlchemy, …) is imported in a thread shortly after the server has started, so that starting
it costs nothing and the first request does not wait either.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from mlex_jupyter import __version__
from mlex_jupyter.server import BASE
from mlex_jupyter.server.receiving import PieceHandler
from mlex_jupyter.server.rest import RestHandler
from mlex_jupyter.server.stream import StreamHandler

if TYPE_CHECKING:
    from mlex_jupyter.server.service import Service

WARM_UP_AFTER_S = 1.0
LOOK_AFTER_JOBS_EVERY_S = 2.0

log = logging.getLogger(__name__)


class Later:
    """The service behind the routes, made once, in a thread, when it is first needed."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._made: asyncio.Future[Service] | None = None

    async def get(self) -> Service:
        """The service; whoever asks first has it made."""
        if self._made is None or (self._made.done() and self._made.exception()):
            self._made = asyncio.get_running_loop().run_in_executor(None, self._make)
        return await asyncio.shield(self._made)

    def _make(self) -> Service:
        from mlex_jupyter.server.service import Service

        return Service.from_config(self._config)

    async def look_after_jobs(self) -> None:
        """As long as the server lives, a supervisor that was killed is replaced while jobs need one."""
        await asyncio.sleep(WARM_UP_AFTER_S)
        warming: asyncio.Task[None] | None = None
        while True:
            try:
                service = await self.get()
                warming = warming or asyncio.create_task(service.warm_up())
            except Exception as error:  # what is wrong with the home may be mended while the server lives
                log.warning("MLEx cannot look after jobs yet: %s", error)
            else:
                await service.look_after_jobs()
            await asyncio.sleep(LOOK_AFTER_JOBS_EVERY_S)


class DocsHandler(JupyterHandler):
    """What the routes are: a page to read, and the OpenAPI document that it is made of."""

    auth_resource = "mlex"

    @property
    def content_security_policy(self) -> str:
        """Nothing but what stands in the page."""
        from mlex_jupyter.server.docs import policy

        return policy()

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self, what: str) -> None:
        """The page, or the document."""
        if "token" in self.request.query_arguments:  # it has become a cookie, and need not stay in the address
            return self.redirect(self.request.path)
        base = url_path_join(self.base_url, BASE)
        at = f"{self.request.protocol}://{self.request.host}{base}"
        self.set_header("Content-Type", "application/json" if what == "openapi.json" else "text/html; charset=utf-8")
        self.finish(await asyncio.to_thread(_written, what, base, at))


def _written(what: str, base: str, at: str) -> str:
    from mlex_jupyter.server.docs import page
    from mlex_jupyter.server.openapi import document

    found = {**document(), "servers": [{"url": base}]}
    return json.dumps(found) if what == "openapi.json" else page(found, at)


def load(server: Any) -> None:
    """Add the routes and the block that tells the front end that they are there."""
    app, later = server.web_app, Later(server.config)
    base = url_path_join(app.settings["base_url"], BASE)
    app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "stream"), StreamHandler, {"later": later}),
            (url_path_join(base, "(docs|openapi[.]json)"), DocsHandler),
            (url_path_join(base, "(uploads/[^/]+/pieces)"), PieceHandler, {"later": later}),
            (url_path_join(base, "(.*)"), RestHandler, {"later": later}),
        ],
    )
    page = app.settings.setdefault("page_config_data", {})
    page["mlex"] = {"version": __version__, "guided": bool(os.environ.get("MLEX_GUIDED"))}
    server.io_loop.add_callback(later.look_after_jobs)
    server.log.info("MLEx %s is at %s", __version__, base)
