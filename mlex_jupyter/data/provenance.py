"""Where a dataset's values come from, as written down when it is registered."""

from __future__ import annotations

import socket

from mlex_jupyter import __version__
from mlex_jupyter.types import Provenance


def provenance(path: str | None = None) -> Provenance:
    """How a dataset comes here, now."""
    return Provenance(path=path, host=socket.gethostname(), software=f"mlex-jupyter {__version__}")
