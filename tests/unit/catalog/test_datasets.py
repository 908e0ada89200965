"""The catalog: unique names, one dataset for one file under one name, and an event for every change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.card import free_name, name_from
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.events import Events
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.types import ClassInfo, Dataset, new_id, now


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    store = Store.open(settings)
    yield Catalog(store, settings)
    store.close()


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return volume(tmp_path / "stack.npy")


def volume(path: Path, *shape: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ones(shape or (4, 8, 8), np.uint16))
    return path


def made(name: str = "seg", **changes: Any) -> Dataset:
    about = {"uri": "/x.zarr", "reader": "zarr", "shape": (1, 2, 2), "dtype": "uint8", "axes": "zyx", "nbytes": 4}
    return Dataset(**{"id": new_id("data"), "name": name, "created": now()} | about | changes)


async def test_a_volume_is_registered_where_it_lies_with_what_it_says(catalog: Catalog, stack: Path) -> None:
    dataset = await catalog.register(
        str(stack),
        pixel_size=0.65,
        pixel_unit="µm",
        tags=("sand", "als", "sand"),
        derived_from=("data-0",),
        classes=(ClassInfo(value=1, name="pore", color="#56b4e9"),),
    )
    assert (dataset.name, dataset.uri, dataset.reader) == ("stack", str(stack), "numpy")
    assert (dataset.shape, dataset.dtype, dataset.axes, dataset.nbytes) == ((4, 8, 8), "uint16", "zyx", 512)
    assert (dataset.pixel_size, dataset.pixel_unit) == ((0.65, 0.65, 0.65), "µm")
    assert (dataset.tags, dataset.derived_from, dataset.classes[0].name) == (("sand", "als"), ("data-0",), "pore")
    assert await catalog.get("stack") == await catalog.get(dataset.id) == dataset


async def test_registering_again_is_the_same_dataset_and_no_second_event(catalog: Catalog, stack: Path) -> None:
    first = await catalog.register(str(stack))
    (stack.parent / "link").symlink_to(stack.parent)
    for path in (
        stack,
        stack.parent / "link" / stack.name,
        stack.parent / "link" / ".." / stack.parent.name / stack.name,
    ):
        assert await catalog.register(str(path)) == first
    happened = await Events(catalog.store).after(0)
    assert [(event.kind, event.subject, event.values["name"]) for event in happened] == [("dataset", first.id, "stack")]


async def test_two_that_register_at_once_get_one_dataset(catalog: Catalog, stack: Path) -> None:
    both = await asyncio.gather(*(catalog.register(str(stack)) for _ in range(8)))
    assert len({dataset.id for dataset in both}) == 1


async def test_another_file_under_a_taken_name_is_a_conflict(catalog: Catalog, stack: Path, tmp_path: Path) -> None:
    first = await catalog.register(str(stack))
    other = volume(tmp_path / "elsewhere" / "stack.npy")
    with pytest.raises(Conflict, match="stack") as refused:
        await catalog.register(str(other))
    assert "another name" in str(refused.value.hint)
    await catalog.register(str(other), name="stack-b")
    assert (await catalog.get("stack")).id == first.id


async def test_one_file_may_have_two_names(catalog: Catalog, stack: Path) -> None:
    assert (await catalog.register(str(stack))).id != (await catalog.register(str(stack), name="again")).id


@pytest.mark.parametrize("change", [{"axes": "cyx"}, {"pixel_size": 2.0}])
async def test_the_same_file_in_other_terms_is_a_conflict(
    catalog: Catalog, stack: Path, change: dict[str, Any]
) -> None:
    await catalog.register(str(stack))
    with pytest.raises(Conflict):
        await catalog.register(str(stack), **change)


async def test_a_file_that_has_changed_its_shape_is_a_conflict(catalog: Catalog, stack: Path) -> None:
    await catalog.register(str(stack))
    volume(stack, 5, 8, 8)
    with pytest.raises(Conflict, match="shape"):
        await catalog.register(str(stack))


async def test_datasets_are_found_by_pattern_and_by_tag_the_newest_first(catalog: Catalog, tmp_path: Path) -> None:
    for name, tags in (("sand-1", ()), ("clay", ("Wet",)), ("sand-2", ("dry",))):
        await catalog.register(str(volume(tmp_path / f"{name}.npy")), tags=tags)

    async def names(query: str = "*") -> list[str]:
        return [dataset.name for dataset in await catalog.search(query)]

    assert await names() == ["sand-2", "clay", "sand-1"]
    assert await names("sand*") == ["sand-2", "sand-1"]
    assert await names("wet") == ["clay"]
    assert await names("we") == ["clay"]  # words may be begun
    assert await names("et") == []
    assert await names("Clay") == ["clay"]
    assert await names("*2'; DROP TABLE datasets;--") == []


async def test_an_unknown_name_is_told_the_nearest(catalog: Catalog, stack: Path) -> None:
    with pytest.raises(NotFound) as refused:
        await catalog.get("stack")
    assert "mlex register" in str(refused.value.hint)
    await catalog.register(str(stack))
    with pytest.raises(NotFound) as refused:
        await catalog.get("stakc")
    assert refused.value.hint == "Did you mean stack?"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": name} for name in ("", "a b", "-x", "a\nb", 'a"', "$(rm)", "../x", "x" * 101, "ä")),
        *({"pixel_size": size} for size in (0, -1.0, float("nan"), float("inf"))),
        *({"tags": (tag,)} for tag in ("", " ", "a\nb", "x" * 101)),
        {"pixel_unit": "µm"},
        {"axes": "zyq"},
        {"classes": (ClassInfo(value=1, name="a", color="#000000"), ClassInfo(value=1, name="b", color="#000000"))},
    ],
)
async def test_what_cannot_be_meant_is_invalid_and_leaves_nothing(
    catalog: Catalog, stack: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Invalid):
        await catalog.register(str(stack), **wrong)
    assert await catalog.search() == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/rec.zarr", "rec"),
        ("/a/Rec 04 (final).ome.zarr", "Rec-04-final"),
        ("/a/scan.TIFF", "scan"),
        ("/a/v1.2.npy", "v1.2"),
        ("/a/scan.h5::/exchange/data", "scan"),
        ("/a/scan.h5::/exchange/data_white", "scan-data_white"),
        ("/a/recon/slice_*.tif", "slice"),
        ("s3://bucket/rec/scan.ome.zarr", "scan"),
        ("tiled+https://host.example/scans/scan-7", "scan-7"),
        ("/a/größe.tif", "gr-e"),
        ("/a/$(reboot).npy", "reboot"),
        ("/a/数据.tif", "data"),
        ("/a/" + "x" * 200 + ".tif", "x" * 100),
    ],
)
def test_a_name_is_made_of_the_file_s_own(path: str, name: str) -> None:
    assert name_from(path) == name


# ---------------------------------------------------------------- what the supervisor inserts


async def test_a_result_taken_in_twice_is_one_dataset(catalog: Catalog) -> None:
    dataset = made()
    for _ in range(2):
        assert await catalog.store.write(lambda tx: catalog.insert(tx, dataset, unique_name=False)) == dataset
    assert await catalog.search() == [dataset]
    assert len(await Events(catalog.store).after(0)) == 1


async def test_a_taken_name_gets_a_number_or_is_a_conflict(catalog: Catalog) -> None:
    for expected in ("seg", "seg-2", "seg-3"):
        dataset = made()
        got = await catalog.store.write(lambda tx, dataset=dataset: catalog.insert(tx, dataset, unique_name=False))
        assert (got.name, got.id) == (expected, dataset.id)
        assert await catalog.get(expected) == got
    with pytest.raises(Conflict):
        await catalog.store.write(lambda tx: catalog.insert(tx, made(), unique_name=True))


async def test_a_transaction_that_fails_leaves_no_dataset_and_no_event(catalog: Catalog) -> None:
    def half(tx: Any) -> None:
        catalog.insert(tx, made(), unique_name=True)
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        await catalog.store.write(half)
    assert await catalog.search() == []
    assert await Events(catalog.store).after(0) == []


def test_a_numbered_name_is_never_too_long() -> None:
    longest = "x" * 100
    assert free_name(longest, {longest}) == "x" * 98 + "-2"
