"""MLExchange in Jupyter: look at volumes, label, train, predict and publish.

`import mlex_jupyter as mlex` gives every verb as a plain function: `mlex.train("tunet", data="sand-tomo", …)`.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from mlex_jupyter import sync

    return sync.public(name)


def __dir__() -> list[str]:
    from mlex_jupyter import sync

    return sorted([*globals(), *sync.names()])
