"""A server extension with a route that does nothing but what every route of Jupyter does: ask who is there.

What is sent to it, Tornado receives and it forgets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

ROOT = Path(__file__).resolve().parents[2]


@web.stream_request_body
class NullHandler(APIHandler):
    """Answers a little JSON."""

    @web.authenticated
    async def get(self) -> None:
        self.finish(b'{"answer": 0}')

    @web.authenticated
    async def post(self) -> None:
        self.finish(b'{"answer": 0}')

    def data_received(self, chunk: bytes) -> None:
        """Nothing is kept of it."""


def environment(home: Path) -> dict[str, str]:
    """What a server over this home is told so that it has the route."""
    config = home / "null" / "jupyter_server_config.d" / "null.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"tests.bench.null": True}}}))
    return {"JUPYTER_CONFIG_PATH": str(home / "null"), "PYTHONPATH": str(ROOT)}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "tests.bench.null"}]


def _load_jupyter_server_extension(server: Any) -> None:
    app = server.web_app
    app.add_handlers(".*$", [(url_path_join(app.settings["base_url"], "null"), NullHandler)])
