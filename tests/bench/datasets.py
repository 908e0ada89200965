"""Searching among 100,000 datasets, in SQLite and in PostgreSQL, each beside a query of nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from sqlalchemy import Connection, insert

from mlex_jupyter.catalog import index
from mlex_jupyter.catalog.index import Wanted
from mlex_jupyter.store.tables import datasets
from mlex_jupyter.types import DataOrder, Dataset
from tests.bench.asking import Question, over_databases
from tests.bench.figures import Figure
from tests.bench.search import COMMON, NEW, THINGS

COUNT = 100_000
BATCH = 2000
PAGE = 100
READERS = ("zarr",) * 6 + ("hdf5",) * 3 + ("tiff",)
DTYPES = ("uint8", "uint16", "float32")
BEAMLINES = ("8.3.2", "7.3.3", "5.3.1", "11.0.2", "2-BM", "32-ID", "I12", "P05")


def made(number: int, rng: random.Random) -> Dataset:
    """A dataset of its own; the same number and seed give the same one. Words and tags are as uneven as people's."""
    thing = rng.choice(THINGS)
    rare = [f"word{int(rng.paretovariate(0.5)) % 50_000}" for _ in range(5)]
    name = f"{thing}-scan{number:06d}"
    half = "even" if number % 2 == 0 else "odd"
    slices = rng.choice((64, 512, 1024, 2160))
    return Dataset(
        id=f"data-{number:06d}",
        name=name,
        uri=f"/data/beamtime{number // 500}/{name}.zarr",
        reader=rng.choice(READERS),
        shape=(slices, 2048, 2048),
        dtype=rng.choice(DTYPES),
        axes="zyx",
        nbytes=slices * 2048 * 2048,
        derived_from=(f"data-{number - 1:06d}",) if number % 10 == 9 else (),
        tags=tuple({half, thing, f"tag{int(rng.paretovariate(0.7)) % 3000}"}),
        description=" ".join(rng.sample([*COMMON, *rng.choices(THINGS, k=6), *rare], 16)),
        meta={"beamline": rng.choice(BEAMLINES), "sample": f"S{number // 20:05d}"},
        owner=f"user{int(rng.paretovariate(1)) % 500}",
        created=datetime.fromtimestamp(NEW + number * 60, timezone.utc),
    )


def fill(tx: Connection, count: int) -> None:
    """Put the datasets into a database, many at once."""
    rng = random.Random(7)
    for start in range(0, count, BATCH):
        found = [made(number, rng) for number in range(start, min(start + BATCH, count))]
        rows = [
            {"id": one.id, "name": one.name, "created": one.created.timestamp(), "record": one.model_dump(mode="json")}
            | index.columns_of(one)
            for one in found
        ]
        tx.execute(insert(datasets), rows)
        index.index_new(tx, *found)


def _page(order: DataOrder = DataOrder.NEWEST, past: str | None = None, **wanted: object) -> Question:
    return lambda mlex: mlex.catalog.search(Wanted(**wanted), order, past, PAGE)  # type: ignore[arg-type]


def _facets(**wanted: object) -> Question:
    return lambda mlex: mlex.catalog.facets(Wanted(**wanted))  # type: ignore[arg-type]


NAME, SIZE = DataOrder.NAME, DataOrder.SIZE
KINDS: dict[str, Callable[[random.Random], Question]] = {
    "the newest": lambda rng: _page(),
    "by name": lambda rng: _page(NAME),
    "by size": lambda rng: _page(SIZE),
    "a page in the middle": lambda rng: _page(rng.choice(tuple(DataOrder)), f"data-{rng.randrange(COUNT):06d}"),
    "a word of every dataset": lambda rng: _page(query=rng.choice(("scan", "zarr", "beamline"))),
    "the same by name": lambda rng: _page(NAME, query=rng.choice(("scan", "zarr", "beamline"))),
    "a word of many": lambda rng: _page(query=rng.choice(THINGS)),
    "the same by name, past the middle": lambda rng: _page(
        NAME, f"data-{rng.randrange(COUNT):06d}", query=rng.choice(THINGS)
    ),
    "how many names begin, by name": lambda rng: _page(NAME, query=rng.choice(("steel", "shale", "sand", "s"))),
    "how many names begin, by size": lambda rng: _page(SIZE, query=rng.choice(("steel", "shale", "sand", "s"))),
    "two common words, by name": lambda rng: _page(NAME, query=f"{rng.choice(COMMON)} {rng.choice(THINGS)}"),
    "words that exclude one another": lambda rng: _page(NAME, query="scan", tags=("odd", "even")),
    "a rare word, by size": lambda rng: _page(SIZE, query=f"word{rng.randrange(50_000)}"),
    "nothing": lambda rng: _page(query=f"nothing{rng.randrange(1000)}"),
    "a name": lambda rng: _page(query=f"scan{rng.randrange(COUNT):06d}"),
    "a pattern": lambda rng: _page(NAME, query=f"*{rng.randrange(1000):03d}"),
    "a pattern of one": lambda rng: _page(SIZE, query=f"s*{rng.randrange(COUNT):06d}"),
    "a tag, by size": lambda rng: _page(SIZE, tags=("even",)),
    "a rare tag, by name": lambda rng: _page(NAME, tags=(f"tag{rng.randrange(1, 3000)}",)),
    "a note": lambda rng: _page(NAME, meta=(f"beamline={rng.choice(BEAMLINES)}",)),
    "reader, type and owner": lambda rng: _page(
        SIZE, reader="tiff", dtype="uint16", owner=f"user{rng.randrange(1, 500)}"
    ),
    "what was made from one": lambda rng: _page(derived_from=f"data-{rng.randrange(COUNT):06d}"),
    "counts of all": lambda rng: _facets(),
    "counts of a word of many": lambda rng: _facets(query=rng.choice(("scan", *THINGS))),
    "counts of a rare word": lambda rng: _facets(query=f"word{rng.randrange(50_000)}"),
    "counts of a tag": lambda rng: _facets(tags=("odd",)),
}


def figures() -> Sequence[Figure]:
    """The figures of all databases that are on this machine."""
    return over_databases(f"{COUNT:,} datasets", lambda tx: fill(tx, COUNT), KINDS)
