"""The catalog: which datasets there are, by unique names. A dataset stays where it lies; the catalog knows the way."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from mlex_jupyter.catalog import index
from mlex_jupyter.catalog.card import LONGEST, described, edited, free_name
from mlex_jupyter.catalog.index import Wanted
from mlex_jupyter.catalog.lineage import link, of_dataset
from mlex_jupyter.data.provenance import provenance
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.events import append
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import datasets, edges, forgotten, jobs
from mlex_jupyter.types import FINAL, ClassInfo, DataOrder, Dataset, Facets

MOST_AT_ONCE = 1000


class Catalog:
    """The datasets of one home."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.reading = Reading(settings)

    async def register(
        self,
        path: str,
        name: str | None = None,
        axes: str | None = None,
        pixel_size: float | None = None,
        pixel_unit: str | None = None,
        tags: Sequence[str] = (),
        derived_from: Sequence[str] = (),
        classes: Sequence[ClassInfo] = (),
        description: str = "",
        meta: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Register the volume at a path; the same path under the same name again is the same dataset.

        Another volume under a taken name is a Conflict, and so are other axes or pixels of the same one: what was
        trained on a dataset must find it as it was.
        """
        info = await self.reading.inspect(path, axes)
        about: dict[str, Any] = {"description": description, "meta": dict(meta or {}), "owner": self.settings.user}
        about["provenance"] = provenance(path)
        asked = described(info, name, pixel_size, pixel_unit, tags, derived_from, classes, about)
        pixels = pixel_size is not None or pixel_unit is not None

        def commit(tx: Connection) -> Dataset:
            known = _find(tx, asked.name)
            if known is None:
                asked_for = _remembered(tx, asked, named=name is not None, pixels=pixels)
                return self.insert(tx, asked_for, unique_name=True)
            if difference := _difference(known, asked, pixels=pixels):
                raise Conflict(
                    f"The dataset {asked.name!r} is there already, with {difference}.",
                    hint="Choose another name for this one.",
                )
            return known

        return await self.store.write(commit)

    async def search(
        self,
        wanted: Wanted | str = "*",
        order: DataOrder = DataOrder.NEWEST,
        past: str | None = None,
        limit: int = MOST_AT_ONCE,
    ) -> list[Dataset]:
        """A page of the datasets that are wanted; the next page begins past the last of this one."""
        if not 1 <= limit <= MOST_AT_ONCE:
            raise Invalid(f"limit={limit}: ask for 1 to {MOST_AT_ONCE}.")
        await self._index_all()

        def find(tx: Connection) -> list[Dataset]:
            after = self.find(tx, past).id if past is not None else None
            return index.search(tx, self._wanted(tx, wanted), order, after, limit)

        return await self.store.read(find)

    async def facets(self, wanted: Wanted | str = "*") -> Facets:
        """How many of those that are wanted there are of each sort."""
        await self._index_all()
        return await self.store.read(lambda tx: index.facets(tx, self._wanted(tx, wanted)))

    def _wanted(self, tx: Connection, wanted: Wanted | str) -> Wanted:
        """With the id of what they were made from, where that is a dataset's name."""
        if isinstance(wanted, str):
            return Wanted(query=wanted)
        source = _find(tx, wanted.derived_from) if wanted.derived_from is not None else None
        return wanted if source is None else replace(wanted, derived_from=source.id)

    async def _index_all(self) -> None:
        """Index what an older version wrote, or what was put back from job folders."""
        if await self.store.read(index.behind):
            while await self.store.write(index.catch_up):
                pass

    async def get(self, name_or_id: str) -> Dataset:
        """One dataset; NotFound with the nearest names."""
        return await self.store.glance(lambda tx: self.find(tx, name_or_id))

    def find(self, tx: Connection, name_or_id: str) -> Dataset:
        """`get`, inside a transaction."""
        if (found := _find(tx, name_or_id)) is not None:
            return found
        if (uri := tx.execute(select(forgotten.c.uri).where(forgotten.c.id == name_or_id)).scalar()) is not None:
            again = f"Register it again: mlex register {shlex.quote(uri)}"
            raise NotFound(f"The dataset {name_or_id!r} was forgotten.", hint=again)
        newest = select(datasets.c.name).order_by(datasets.c.created.desc()).limit(MOST_AT_ONCE)
        known = list(tx.execute(newest).scalars())
        what_to_do = "List them with `mlex data`." if known else "Register one with `mlex register PATH`."
        raise NotFound(f"There is no dataset {name_or_id!r}.", hint=nearest(name_or_id, known) or what_to_do)

    async def edit(self, name_or_id: str, **changes: Any) -> Dataset:
        """Correct what is said of a dataset. Its id holds, so what refers to it goes on doing so."""

        def change(tx: Connection) -> Dataset:
            before = self.find(tx, name_or_id)
            after = edited(before, **changes)
            if after.name != before.name and _find(tx, after.name) is not None:
                raise Conflict(f"The name {after.name!r} is taken.", hint="Choose another name.")
            return _replace(tx, before, after)

        return await self.store.write(change)

    async def note_checksum(self, dataset_id: str, checksum: str) -> Dataset:
        """Keep the checksum of what lies there."""

        def note(tx: Connection) -> Dataset:
            before = self.find(tx, dataset_id)
            return _replace(tx, before, before.model_copy(update={"checksum": checksum}))

        return await self.store.write(note)

    async def forget(self, name_or_id: str) -> Dataset:
        """List a dataset no more. Its file stays where it lies; registered again, it is what it was."""

        def remove(tx: Connection) -> Dataset:
            dataset = self.find(tx, name_or_id)
            if users := _unfinished_users(tx, dataset.id):
                raise Conflict(
                    f"{dataset.name} is used by {', '.join(users)}, which {'has' if len(users) == 1 else 'have'} not "
                    "ended.",
                    hint=f"Wait for it, or cancel it: mlex cancel {users[0]}",
                )
            record = dataset.model_dump(mode="json")
            columns = {"id": dataset.id, "name": dataset.name, "uri": dataset.uri, "record": record}
            tx.execute(insert(forgotten).values(**columns, created=dataset.created.timestamp(), time=time.time()))
            tx.execute(delete(datasets).where(datasets.c.id == dataset.id))
            index.forget(tx, dataset.id)
            append(tx, dataset.id, "dataset", {"name": dataset.name, "forgotten": True})
            return dataset

        return await self.store.write(remove)

    def insert(self, tx: Connection, dataset: Dataset, *, unique_name: bool) -> Dataset:
        """Add a dataset in somebody's transaction, and return what is registered.

        An id that is there already changes nothing, so that a result taken in twice is one dataset. A taken name is
        a Conflict with `unique_name`; without, the new one is called `name-2`, `name-3` and so on.
        """
        known = tx.execute(select(datasets.c.record).where(datasets.c.id == dataset.id)).scalar()
        if known is not None:
            return Dataset.model_validate(known)
        taken = _taken(tx, dataset.name)
        if dataset.name in taken and unique_name:
            raise Conflict(f"The name {dataset.name!r} is taken.", hint="Choose another name.")
        named = dataset.model_copy(update={"name": free_name(dataset.name, taken)})
        columns = {"id": named.id, "name": named.name, "created": named.created.timestamp()}
        columns |= index.columns_of(named)
        tx.execute(insert(datasets).values(**columns, record=named.model_dump(mode="json")))
        index.index_new(tx, named)
        link(tx, named.id, of_dataset(named))
        append(tx, named.id, "dataset", {"name": named.name, "derived_from": list(named.derived_from)})
        return named


def _taken(tx: Connection, name: str) -> set[str]:
    """Nothing where the name is free; else the names that begin like it, its variations among them."""
    if tx.execute(select(datasets.c.id).where(datasets.c.name == name)).first() is None:
        return set()
    alike = datasets.c.name.startswith(name[: LONGEST - 10], autoescape=True)
    return set(tx.execute(select(datasets.c.name).where(alike)).scalars())


def _find(tx: Connection, name_or_id: str) -> Dataset | None:
    query = select(datasets.c.record).where(or_(datasets.c.name == name_or_id, datasets.c.id == name_or_id))
    record = tx.execute(query.order_by(datasets.c.name != name_or_id)).scalar()
    return None if record is None else Dataset.model_validate(record)


def _replace(tx: Connection, before: Dataset, after: Dataset) -> Dataset:
    """Write what has changed of a record, and tell of it."""
    if changed := [field for field in Dataset.model_fields if getattr(after, field) != getattr(before, field)]:
        values = {"name": after.name, "record": after.model_dump(mode="json")}
        tx.execute(update(datasets).where(datasets.c.id == after.id).values(**values))
        index.index(tx, after)
        append(tx, after.id, "dataset", {"name": after.name, "changed": list(changed)})
    return after


def _unfinished_users(tx: Connection, dataset_id: str) -> list[str]:
    """The names of some jobs that work on a dataset and have not ended."""
    ended = [state.value for state in FINAL]
    query = select(jobs.c.name).join(edges, edges.c.child == jobs.c.id).where(edges.c.parent == dataset_id)
    return list(tx.execute(query.where(jobs.c.state.not_in(ended)).order_by(jobs.c.number).limit(5)).scalars())


def _remembered(tx: Connection, asked: Dataset, *, named: bool, pixels: bool) -> Dataset:
    """The dataset that was forgotten, where this is it: with its id, and with what was said of it then and now."""
    query = select(forgotten.c.record).where(or_(forgotten.c.uri == asked.uri, forgotten.c.name == asked.name))
    for record in tx.execute(query.order_by(forgotten.c.time.desc())).scalars():
        known = Dataset.model_validate(record)
        if _difference(known, asked, pixels=False) is None:
            tx.execute(delete(forgotten).where(forgotten.c.id == known.id))
            keeps_name = not named and _find(tx, known.name) is None
            said = {"name": known.name if keeps_name else asked.name, "meta": known.meta | asked.meta}
            said["tags"] = tuple(dict.fromkeys((*known.tags, *asked.tags)))
            newer = ("description", "classes", *(("pixel_size", "pixel_unit") if pixels else ()))
            said |= {field: getattr(asked, field) for field in newer if getattr(asked, field)}
            return known.model_copy(update=said)
    return asked


def _difference(known: Dataset, asked: Dataset, *, pixels: bool) -> str | None:
    """What keeps two records of one name from being the same dataset, in words, or None."""
    if os.path.realpath(known.uri) != os.path.realpath(asked.uri):
        return f"the file {known.uri}"
    for field in ("shape", "dtype", "axes", *(("pixel_size", "pixel_unit") if pixels else ())):
        if getattr(known, field) != getattr(asked, field):
            return f"the {field.replace('_', ' ')} {getattr(known, field)}"
    return None
