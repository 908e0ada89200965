"""How long work says how far it is, to whoever waits for it in this process; nobody may be listening."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Hearer = Callable[[str], None]

_hearer: ContextVar[Hearer | None] = ContextVar("mlex_hearer", default=None)


def tell(line: str) -> None:
    """Say how far it is: "uploaded 1.2 of 3.4 GB"."""
    hearer = _hearer.get()
    if hearer is not None:
        hearer(line)


@contextlib.contextmanager
def heard_by(hearer: Hearer) -> Iterator[None]:
    """What is told inside is heard here; tasks that are begun inside are heard as well."""
    token = _hearer.set(hearer)
    try:
        yield
    finally:
        _hearer.reset(token)
