"""Datasets are found by words, filters and counts, a page at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, update

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.index import COUNTED, Wanted
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import dataset_index, dataset_terms, datasets
from mlex_jupyter.types import DataOrder, Dataset, new_id, now

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    store = Store.open(settings)
    yield Catalog(store, settings)
    store.close()


def made(name: str, **changes: Any) -> Dataset:
    about = {"uri": f"/x/{name}.zarr", "reader": "zarr", "shape": (1, 2, 2), "dtype": "uint8", "axes": "zyx"}
    return Dataset(**{"id": new_id("data"), "name": name, "nbytes": 4, "created": now()} | about | changes)


async def add(catalog: Catalog, *found: Dataset) -> None:
    def insert(tx: Any) -> None:
        for dataset in found:
            catalog.insert(tx, dataset, unique_name=True)

    await catalog.store.write(insert)


async def names(catalog: Catalog, *query: str, **wanted: Any) -> list[str]:
    return [found.name for found in await catalog.search(Wanted(*query, **wanted), DataOrder.NAME)]


@pytest.fixture
async def four(catalog: Catalog) -> Catalog:
    await add(
        catalog,
        made("sand-1", tags=("Wet", "als"), nbytes=30, owner="ann", meta={"beamline": "8.3.2", "sample": "S04"}),
        made("sand-2", tags=("als",), nbytes=10, owner="bob", meta={"beamline": "7.3.3"}, dtype="float32"),
        made("clay", uri="/raw/Scan042_öl.tif", reader="tiff", nbytes=20, axes="yx", shape=(2, 2), owner="ann"),
        made("seg", derived_from=("data-parent",), description="The pores of the wet sand, cleaned."),
    )
    return catalog


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("*", ["clay", "sand-1", "sand-2", "seg"]),
        ("", ["clay", "sand-1", "sand-2", "seg"]),
        ("sand", ["sand-1", "sand-2", "seg"]),
        ("SAND wet", ["sand-1", "seg"]),
        ("sand-1", ["sand-1"]),
        ("wet", ["sand-1", "seg"]),
        ("scan042", ["clay"]),
        ("042", ["clay"]),
        ("öl", ["clay"]),
        ("8.3.2", ["sand-1"]),
        ("beaml", ["sand-1", "sand-2"]),
        ("s*", ["sand-1", "sand-2", "seg"]),
        ("sand-?", ["sand-1", "sand-2"]),
        ("s* als", ["sand-1", "sand-2"]),
        ("s_nd*", []),
        ("%", []),
        ("and", []),
        ("sand !!", []),
    ],
)
async def test_words_are_looked_for_in_all_that_is_said_of_a_dataset(
    four: Catalog, query: str, found: list[str]
) -> None:
    assert await names(four, query) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"tags": ("als",)}, ["sand-1", "sand-2"]),
        ({"tags": ("als", "Wet")}, ["sand-1"]),
        ({"meta": ("beamline",)}, ["sand-1", "sand-2"]),
        ({"meta": ("beamline=8.3.2",)}, ["sand-1"]),
        ({"meta": ("beam",)}, []),
        ({"reader": "tiff"}, ["clay"]),
        ({"dtype": "float32", "reader": "zarr"}, ["sand-2"]),
        ({"axes": "yx"}, ["clay"]),
        ({"owner": "ann"}, ["clay", "sand-1"]),
        ({"derived_from": "data-parent"}, ["seg"]),
        ({"derived_from": "sand-1"}, []),
    ],
)
async def test_filters_hold_together(four: Catalog, wanted: dict[str, Any], found: list[str]) -> None:
    assert await names(four, **wanted) == found


async def test_what_was_made_from_a_dataset_is_found_by_its_name(four: Catalog) -> None:
    source = await four.get("sand-1")
    await add(four, made("more", derived_from=(source.id,)))
    assert await names(four, derived_from="sand-1") == ["more"]


@pytest.mark.parametrize("order", DataOrder)
async def test_pages_hold_everything_once_in_their_order(four: Catalog, order: DataOrder) -> None:
    await add(four, made("twin-a", nbytes=20, created=(await four.get("clay")).created), made("twin-b", nbytes=20))
    whole = await four.search("*", order)
    pages: list[Dataset] = []
    while page := await four.search("*", order, past=pages[-1].name if pages else None, limit=2):
        pages += page
    assert pages == whole
    keys = {
        DataOrder.NEWEST: [(-found.created.timestamp(), "") for found in whole],
        DataOrder.NAME: [(0.0, found.name) for found in whole],
        DataOrder.SIZE: [(-float(found.nbytes), "") for found in whole],
    }[order]
    assert keys == sorted(keys)


async def test_facets_count_what_is_found(four: Catalog) -> None:
    every = await four.facets()
    assert every.total == 4
    assert every.tags == {"als": 2, "Wet": 1}
    assert list(every.tags) == ["als", "Wet"]
    assert every.readers == {"zarr": 3, "tiff": 1}
    assert every.dtypes == {"uint8": 3, "float32": 1}
    assert every.owners == {"ann": 2, "bob": 1}
    assert every.meta == {"beamline=7.3.3": 1, "beamline=8.3.2": 1, "sample=S04": 1}
    some = await four.facets(Wanted("sand", owner="ann"))
    assert (some.total, some.tags, some.axes) == (1, {"Wet": 1, "als": 1}, {"zyx": 1})


async def test_common_words_find_the_same_as_rare_ones(catalog: Catalog) -> None:
    many = COUNTED + 3
    await add(catalog, *(made(f"sand-{n:05d}", tags=("odd",) if n % 2 else ("even",)) for n in range(many)))
    found = await catalog.search(Wanted("sand", tags=("odd",)), limit=1000)
    assert [dataset.name for dataset in found][:2] == [f"sand-{many - 2:05d}", f"sand-{many - 4:05d}"]
    last = await catalog.search(Wanted("sand", tags=("even",)), DataOrder.NAME, past=f"sand-{many - 5:05d}")
    assert [dataset.name for dataset in last] == [f"sand-{many - 3:05d}", f"sand-{many - 1:05d}"]
    counts = await catalog.facets("sand")
    assert (counts.total, counts.more_than_total, sum(counts.tags.values())) == (COUNTED, True, COUNTED)
    every = await catalog.facets()
    assert (every.total, every.more_than_total, every.readers) == (COUNTED, True, {"zarr": COUNTED})


async def test_a_dataset_that_is_renamed_or_forgotten_is_found_as_it_is_now(four: Catalog) -> None:
    await four.edit("clay", name="loam")
    await four.forget("sand-2")
    assert await names(four, "cl*") == await names(four, "clay") == []
    assert await names(four) == ["loam", "sand-1", "seg"]
    assert await names(four, "loam") == ["loam"]


async def test_rows_of_an_older_version_are_found_too(four: Catalog) -> None:
    def forget_the_index(tx: Any) -> None:
        tx.execute(delete(dataset_index))
        tx.execute(delete(dataset_terms))
        tx.execute(update(datasets).values(indexed=0, reader=None, nbytes=None))

    await four.store.write(forget_the_index)
    assert await names(four, "wet") == ["sand-1", "seg"]
    assert (await four.facets()).readers == {"zarr": 3, "tiff": 1}


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_a_sensible_length(catalog: Catalog, limit: int) -> None:
    with pytest.raises(Invalid):
        await catalog.search(limit=limit)


async def test_a_page_past_nothing_says_so(four: Catalog) -> None:
    with pytest.raises(NotFound):
        await four.search(past="nobody")
