"""Where the rows lie: SQLite in the home, or PostgreSQL. What differs between the two is in their modules alone."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from mlex_jupyter.errors import Invalid
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.base import Database
from mlex_jupyter.store.postgres import Postgres
from mlex_jupyter.store.sqlite import Sqlite


def database_of(settings: Settings) -> Database:
    """The one that the settings name."""
    if settings.database is None:
        return Sqlite(settings.home / "mlex.db")
    try:
        url = make_url(settings.database)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        raise Invalid(
            "The setting database is no URL of a PostgreSQL.",
            hint="It looks like postgresql://USER:PASSWORD@HOST/NAME. Left out, the database is SQLite in the home.",
        )
    return Postgres(settings.database)
