"""The catalog: which datasets there are, by unique names. A dataset stays where it lies; the catalog knows the way."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, insert, or_, select

from mlex_jupyter import __version__, dataindex
from mlex_jupyter.data.readers import VolumeInfo
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.dataindex import Wanted
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.events import append
from mlex_jupyter.lineage import link, of_dataset
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.tables import datasets
from mlex_jupyter.types import NAME, ClassInfo, DataOrder, Dataset, Facets, Provenance, new_id, now

ENDINGS = re.compile(r"(\.ome)?\.(zarr|npy|tiff?)$", re.IGNORECASE)
LONGEST = 100
LONGEST_TEXT = 10_000
MOST_NOTES = 100
LONGEST_NOTE = 500
KEY = re.compile(r"[^\W_][\w.-]{0,99}")
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
        about["provenance"] = _provenance(path)
        asked = _dataset(info, name, pixel_size, pixel_unit, tags, derived_from, classes, about)

        def commit(tx: Connection) -> Dataset:
            known = _find(tx, asked.name)
            if known is None:
                return self.insert(tx, asked, unique_name=True)
            if difference := _difference(known, asked):
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
            return dataindex.search(tx, self._wanted(tx, wanted), order, after, limit)

        return await self.store.read(find)

    async def facets(self, wanted: Wanted | str = "*") -> Facets:
        """How many of those that are wanted there are of each sort."""
        await self._index_all()
        return await self.store.read(lambda tx: dataindex.facets(tx, self._wanted(tx, wanted)))

    def _wanted(self, tx: Connection, wanted: Wanted | str) -> Wanted:
        """With the id of what they were made from, where that is a dataset's name."""
        if isinstance(wanted, str):
            return Wanted(query=wanted)
        source = _find(tx, wanted.derived_from) if wanted.derived_from is not None else None
        return wanted if source is None else replace(wanted, derived_from=source.id)

    async def _index_all(self) -> None:
        """Index what an older version wrote, or what was put back from job folders."""
        if await self.store.read(dataindex.behind):
            while await self.store.write(dataindex.catch_up):
                pass

    async def get(self, name_or_id: str) -> Dataset:
        """One dataset; NotFound with the nearest names."""
        return await self.store.read(lambda tx: self.find(tx, name_or_id))

    def find(self, tx: Connection, name_or_id: str) -> Dataset:
        """`get`, inside a transaction."""
        if (found := _find(tx, name_or_id)) is not None:
            return found
        newest = select(datasets.c.name).order_by(datasets.c.created.desc()).limit(MOST_AT_ONCE)
        known = list(tx.execute(newest).scalars())
        what_to_do = "List them with `mlex data`." if known else "Register one with `mlex register PATH`."
        raise NotFound(f"There is no dataset {name_or_id!r}.", hint=nearest(name_or_id, known) or what_to_do)

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
        tx.execute(
            insert(datasets).values(
                id=named.id, name=named.name, record=named.model_dump(mode="json"), created=named.created.timestamp()
            )
        )
        dataindex.index(tx, named)
        link(tx, named.id, of_dataset(named))
        append(tx, named.id, "dataset", {"name": named.name, "derived_from": list(named.derived_from)})
        return named


def name_from(path: str) -> str:
    """A valid name made of a file's own: `Rec 04 (final).ome.zarr` is `Rec-04-final`."""
    stem = ENDINGS.sub("", PurePath(path).name)
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return words[:LONGEST] if NAME.fullmatch(words[:LONGEST]) else "data"


def free_name(name: str, taken: set[str]) -> str:
    """The name, or its first free variation."""
    number, free = 1, name
    while free in taken:
        number += 1
        suffix = f"-{number}"
        free = name[: LONGEST - len(suffix)] + suffix
    return free


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


def _dataset(
    info: VolumeInfo,
    name: str | None,
    pixel_size: float | None,
    pixel_unit: str | None,
    tags: Sequence[str],
    derived_from: Sequence[str],
    classes: Sequence[ClassInfo],
    more: Mapping[str, Any],
) -> Dataset:
    """The record that a person asks for; Invalid where it cannot be."""
    if pixel_size is not None and not 0 < pixel_size < float("inf"):
        raise Invalid(f"A pixel cannot be {pixel_size} wide.", hint="Say its size as a number above 0.")
    if pixel_unit is not None and pixel_size is None and info.pixel_size is None:
        raise Invalid(f"The unit {pixel_unit!r} needs a pixel size.", hint="Say both: --pixel-size 1 --pixel-unit µm")
    check_words((*tags, *([pixel_unit] if pixel_unit is not None else [])))
    check_notes(more["description"], more["meta"])
    if len({found.value for found in classes}) < len(classes):
        raise Invalid("Two classes have the same value.", hint="Give each class a value of its own.")
    given = None if pixel_size is None else (pixel_size,) * sum(axis in "zyx" for axis in info.axes)
    about = info.model_dump()
    about |= {"pixel_size": given or info.pixel_size, "pixel_unit": pixel_unit or (None if given else info.pixel_unit)}
    try:
        return Dataset(
            id=new_id("data"),
            name=name_from(info.uri) if name is None else name,
            tags=tuple(dict.fromkeys(tags)),
            derived_from=tuple(derived_from),
            classes=tuple(classes),
            created=now(),
            **about,
            **more,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid(f"{'.'.join(map(str, first['loc']))} cannot be {str(first['input'])!r}: {message}.") from error


def check_words(words: Sequence[str]) -> None:
    """Invalid where one cannot be a tag or a unit."""
    for word in words:
        if not word.strip() or len(word) > LONGEST or not word.isprintable():
            raise Invalid(f"{word[:LONGEST]!r} cannot be a tag or a unit.", hint="Use up to 100 printable characters.")


def check_notes(description: str, meta: Mapping[str, str]) -> None:
    """Invalid where these cannot be a description, or notes by key."""
    if len(description) > LONGEST_TEXT or len(meta) > MOST_NOTES:
        raise Invalid(
            f"A dataset has a description of at most {LONGEST_TEXT} letters and at most {MOST_NOTES} notes.",
            hint="Put what is longer into a file beside the data, and say its path here.",
        )
    for key, value in meta.items():
        if not KEY.fullmatch(key) or len(value) > LONGEST_NOTE or not value.isprintable():
            raise Invalid(
                f"{key[:LONGEST]}={value[:LONGEST]} cannot be a note.",
                hint=f"Say key=value: the key of letters, digits, '.', '_' and '-', the value at most {LONGEST_NOTE}.",
            )


def _provenance(path: str) -> Provenance:
    return Provenance(path=path, host=socket.gethostname(), software=f"mlex-jupyter {__version__}")


def _difference(known: Dataset, asked: Dataset) -> str | None:
    """What keeps two records of one name from being the same dataset, in words, or None."""
    if os.path.realpath(known.uri) != os.path.realpath(asked.uri):
        return f"the file {known.uri}"
    for field in ("shape", "dtype", "axes", "pixel_size", "pixel_unit"):
        if getattr(known, field) != getattr(asked, field):
            return f"the {field.replace('_', ' ')} {getattr(known, field)}"
    return None
