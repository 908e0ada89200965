"""What the store needs of a database, whichever it is.

All have one writer at a time: SQLite by its nature, PostgreSQL by a lock that every writing transaction takes first.
So ids are committed in their order, and a name that was free when somebody looked is free when he takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine

BUSY_S = 30
"""How long a writer waits for the others."""


class Watch(Protocol):
    """Notices commits."""

    def version(self) -> int:
        """A number that changes when anybody commits."""

    def close(self) -> None:
        """Look no longer."""


class Sole(Protocol):
    """A lock that the whole database knows, held as long as its process lives."""

    def take(self) -> bool:
        """Whether it is held now."""

    def close(self) -> None:
        """Let go."""


class Database(Protocol):
    """What the store needs of a database."""

    name: str
    several: bool
    """Whether several hosts may use it, at once or one after the other."""
    at_hand: bool
    """Whether a row is read sooner than a thread would begin to read it, and never waits for a writer."""

    def reader(self) -> Engine:
        """Transactions that see one consistent view."""

    def writer(self) -> Engine:
        """Transactions that are durable once committed, one at a time."""

    def watch(self) -> Watch:
        """Something that notices commits."""

    def sole(self) -> Sole:
        """What keeps the supervisors of other hosts waiting."""

    def look(self, home: Path) -> None:
        """Unavailable where what stands beside the database says that it lost something."""

    def made(self) -> None:
        """What is to be done once the tables are there."""

    def committing(self, tx: Connection) -> Callable[[], None] | None:
        """Asked before each commit: what is to be done once it holds."""

    def close(self) -> None:
        """Finish what goes on beside."""


def encode(value: Any) -> str:
    """A value as JSON."""
    return to_json(value).decode()


def decode(text: str) -> Any:
    """A value; None where a damaged row holds none, so that the rows beside it can be read."""
    try:
        return from_json(text)
    except ValueError:
        return None
