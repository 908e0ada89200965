"""MLExchange in Jupyter: look at volumes, label, train, predict and publish.

`import mlex_jupyter as mlex` gives every verb as a plain function: `mlex.train("tunet", data="sand-tomo", …)`.
Some verbs share their name with a module (`jobs`, `labels`, `data`): as an attribute it is always the verb, and code
of ours says `from mlex_jupyter.jobs.requests import …`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from mlex_jupyter.sync import public

    return public(name)


def __dir__() -> list[str]:
    from mlex_jupyter.sync import names

    return sorted([*globals(), *names()])


class _Public(ModuleType):
    """This package without its modules as attributes, which would hide the verbs of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Public
