"""Another MLEx server in a script or notebook: `lab = mlex.connect(URL)`, then `lab.train(…)` as `mlex.train(…)`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from mlex_jupyter.errors import Forbidden
from mlex_jupyter.faces.outline import functions
from mlex_jupyter.sync import Engine, plainly, remote

if TYPE_CHECKING:
    from mlex_jupyter.types import Hello


class Lab:
    """Another MLEx server: every verb as a plain function, as `lab.train("tunet", data="sand-tomo", …)`."""

    def __init__(self, engine: Engine, hello: Hello) -> None:
        self.engine = engine
        self._hello = hello

    def __getattr__(self, name: str) -> Any:
        """A verb."""
        if name not in functions():
            raise AttributeError(f"There is no verb {name!r}: `mlex --help` lists them.")
        return plainly(name, lambda: self.engine)

    def __dir__(self) -> list[str]:
        """All verbs."""
        return sorted([*super().__dir__(), *functions()])

    def __repr__(self) -> str:
        """Whose it is, and where."""
        return f"<MLEx {self._hello.version} of {self._hello.user}: {self.engine.mlex!r}>"

    def __enter__(self) -> Lab:
        """Made to be closed again."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Let go of the connections."""
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.close()


def connect(url: str, token: str | None = None) -> Lab:
    """Reach another MLEx server: `lab = mlex.connect("https://hub.example.org/user/me/", token)`.

    The token may stand in MLEX_TOKEN, or in the address as Jupyter prints it; in a notebook it is asked for.
    """
    token = token or os.environ.get("MLEX_TOKEN")
    try:
        return _greeted(remote(url, token))
    except Forbidden:
        if token or (typed := _typed_token()) is None:
            raise
        return _greeted(remote(url, typed))


def _greeted(engine: Engine) -> Lab:
    return Lab(engine, engine.run(engine.mlex.hello()))


def _typed_token() -> str | None:
    """What somebody types who is there to be asked."""
    from getpass import getpass

    from mlex_jupyter.faces.watch import in_notebook

    if not (in_notebook() or sys.stdin.isatty()):
        return None
    try:
        return getpass("Token: ").strip() or None
    except (EOFError, NotImplementedError):  # a notebook that is executed by a program
        return None
