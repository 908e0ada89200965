"""A server extension with one route that does nothing but what every route of Jupyter does: ask who is there."""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web


class NullHandler(APIHandler):
    """Answers a little JSON."""

    @web.authenticated
    async def get(self) -> None:
        self.finish(b'{"answer": 0}')


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "tests.bench.null"}]


def _load_jupyter_server_extension(server: Any) -> None:
    app = server.web_app
    app.add_handlers(".*$", [(url_path_join(app.settings["base_url"], "null"), NullHandler)])
