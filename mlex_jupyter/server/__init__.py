"""MLEx as a Jupyter server extension: REST, one stream of events, pictures.

This module is imported at every start of a Jupyter server, so it imports next to nothing; see extension.py.
"""

from __future__ import annotations

from typing import Any

BASE = "mlex/api/v1"  # where all of it lies, under the Jupyter server's own address


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "mlex_jupyter.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from mlex_jupyter.server.extension import load

    load(server)
