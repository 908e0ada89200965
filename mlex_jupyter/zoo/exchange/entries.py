"""The entries of MLExchange that somebody imported: kept by name and version, listed, and shown with their form."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, delete, insert, select

from mlex_jupyter.errors import NotFound, nearest
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import exchange_entries as table
from mlex_jupyter.types import Entry
from mlex_jupyter.zoo.exchange.archives import local_file
from mlex_jupyter.zoo.exchange.mlexchange import entries


class Entries:
    """The entries of one home."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    async def take(self, path: str) -> list[Entry]:
        """Keep what a file holds, all of it or nothing; an entry of the same name and version is replaced."""
        found = await asyncio.to_thread(entries, local_file(path, self.settings))

        def keep(tx: Connection) -> None:
            for one in found:
                tx.execute(delete(table).where(table.c.name == one.name, table.c.version == one.version))
                columns = {"name": one.name, "version": one.version, "created": one.imported.timestamp()}
                tx.execute(insert(table).values(**columns, record=one.model_dump(mode="json")))

        await self.store.write(keep)
        return found

    async def all(self) -> list[Entry]:
        """The newest first."""
        query = select(table.c.record).order_by(table.c.created.desc(), table.c.name, table.c.version).limit(10_000)
        return await self.store.read(lambda tx: [Entry.model_validate(row) for row in tx.execute(query).scalars()])

    async def get(self, name: str) -> Entry:
        """The newest of this name."""
        known = await self.all()
        for one in known:
            if one.name == name:
                return one
        near = nearest(name, dict.fromkeys(one.name for one in known))
        raise NotFound(f"There is no entry {name[:100]!r} of MLExchange.", hint=near or "List them: mlex entries")
