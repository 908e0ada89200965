"""Lineage: everything that leads to a thing and comes from it, also of what was there before there was a table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert

from mlex_jupyter.app import Mlex
from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.lineage import Ancestry, link
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.faces.ancestry import drawing, tree
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import edges, meta, models
from mlex_jupyter.types import Dataset, Lineage, now

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    store = Store.open(settings)
    yield Catalog(store, settings)
    store.close()


@pytest.fixture
def ancestry(catalog: Catalog) -> Ancestry:
    return Ancestry(catalog.store, "tester")


def dataset(name: str, *parents: str) -> Dataset:
    about = {"uri": f"/x/{name}.zarr", "reader": "zarr", "shape": (1, 2, 2), "dtype": "uint8", "axes": "zyx"}
    return Dataset(id=f"data-{name}", name=name, nbytes=4, created=now(), derived_from=parents, **about)


async def add(catalog: Catalog, **family: str) -> None:
    """`add(catalog, a="", b="a")`: datasets by name, with what they were made from."""

    def insert_all(tx: Any) -> None:
        for name, parents in family.items():
            made = dataset(name, *(f"data-{parent}" for parent in parents.split()))
            catalog.insert(tx, made, unique_name=True)

    await catalog.store.write(insert_all)


def ways(found: Lineage) -> set[tuple[str, str]]:
    names = {node.id: node.name for node in found.nodes}
    return {(names[edge.parent], names[edge.child]) for edge in found.edges}


async def test_it_goes_up_and_down_but_not_to_the_side(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="", b="a", side="a", c="b", d="c", other="")
    found = await ancestry.of("b", 100)
    assert [node.name for node in found.nodes] == ["a", "b", "c", "d"]
    assert ways(found) == {("a", "b"), ("b", "c"), ("c", "d")}
    assert found.about == "data-b"
    assert not found.more


async def test_an_edge_is_left_out_where_a_longer_way_says_as_much(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="", b="a", c="a b", d="a c")
    assert ways(await ancestry.of("a", 100)) == {("a", "b"), ("b", "c"), ("c", "d")}
    await add(catalog, e="b a", f="e c")
    assert ways(await ancestry.of("f", 100)) == {("a", "b"), ("b", "c"), ("b", "e"), ("e", "f"), ("c", "f")}


async def test_what_nobody_registered_is_said_to_be_unknown(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="lost")
    lost, a = (await ancestry.of("a", 100)).nodes
    assert (lost.id, lost.kind, lost.says) == ("data-lost", "unknown", "not in this home")
    assert (a.kind, a.says) == ("dataset", "1×2×2 uint8")


async def test_a_large_family_is_cut_and_says_so(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="", **{f"b{number:03}": "a" for number in range(120)})
    found = await ancestry.of("a", 50)
    assert found.more
    assert len(found.nodes) == 51
    assert len(found.edges) == 50
    assert not (await ancestry.of("a", 120)).more
    assert "larger" in tree(found)


async def test_a_long_chain_is_followed_to_its_end(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, g0="", **{f"g{number}": f"g{number - 1}" for number in range(1, 900)})
    found = await ancestry.of("g450", 1000)
    assert len(found.nodes) == 900
    assert len(found.edges) == 899
    assert found.nodes[0].name == "g0"


async def test_a_circle_ends(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="", b="a")
    await catalog.store.write(lambda tx: link(tx, "data-a", {"data-b": ""}))
    found = await ancestry.of("a", 100)
    assert {node.name for node in found.nodes} == {"a", "b"}
    assert tree(found)
    assert drawing(found)


async def test_it_is_filled_in_for_an_older_home(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="", b="a")
    before = await ancestry.of("b", 100)

    def as_it_was_before(tx: Any) -> None:
        tx.execute(delete(edges))
        tx.execute(delete(meta).where(meta.c.key == "lineage"))

    await catalog.store.write(as_it_was_before)
    assert await ancestry.of("b", 100) == before


async def test_somebody_elses_private_model_keeps_its_name_to_itself(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, a="")
    columns = {"version": 1, "run": "run-1", "record": {}, "created": 1.0, "visibility": "private"}

    def publish(tx: Any) -> None:
        for owner in ("tester", "ann"):
            tx.execute(insert(models).values(id=f"model-{owner}", name=f"of-{owner}", owner=owner, **columns))
            link(tx, f"model-{owner}", {"data-a": ""})

    await ancestry.of("a", 100)
    await catalog.store.write(publish)
    found = await ancestry.of("a", 100)
    assert sorted(node.name for node in found.nodes) == ["a", "a private model", "of-tester"]
    with pytest.raises(NotFound):
        await ancestry.of("of-ann", 100)


async def test_an_unknown_name_is_told_the_nearest(catalog: Catalog, ancestry: Ancestry) -> None:
    await add(catalog, sand="")
    with pytest.raises(NotFound) as refused:
        await ancestry.of("sadn", 100)
    assert refused.value.hint == "Did you mean sand?"
    with pytest.raises(Invalid):
        await ancestry.of("sand", 0)


async def test_the_tree_tells_twice_used_things_once_and_hides_what_is_not_printable(
    catalog: Catalog, ancestry: Ancestry
) -> None:
    await add(catalog, a="", b="a", c="a", d="b c", e="d")
    lines = tree(await ancestry.of("e", 100)).splitlines()
    assert lines == [
        "▦ e  dataset  1×2×2 uint8",
        "",
        "made from",
        "└─ ▦ d  dataset  1×2×2 uint8",
        "   ├─ ▦ b  dataset  1×2×2 uint8",
        "   │  └─ ▦ a  dataset  1×2×2 uint8",
        "   └─ ▦ c  dataset  1×2×2 uint8",
        "      └─ ▦ a  dataset  1×2×2 uint8",
    ]
    await add(catalog, f="<b>\x1b")
    found = await ancestry.of("f", 100)
    assert "\x1b" not in tree(found)
    assert "<b>" not in drawing(found)
    assert drawing(found).count("<rect") == 2


async def test_labels_and_runs_stand_between(mlex: Mlex, tmp_path: Path, described: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((3, 16, 16), np.uint8))
    painted = np.zeros((3, 16, 16), np.uint8)
    painted[0, :4], painted[0, 8:] = 1, 2
    np.save(tmp_path / "l.npy", painted)
    shutil.copytree(described, mlex.settings.home / "cache")
    data = await mlex.register(str(tmp_path / "v.npy"), name="v")
    for _ in range(2):
        await mlex.import_labels("v", str(tmp_path / "l.npy"), name="two")
    job = await mlex.train("unet", data="v", labels="two", name="fit")
    await mlex.cancel(job.id)
    found = await mlex.lineage(data.id)
    assert [node.kind for node in found.nodes] == ["dataset", "labels", "run"]
    assert [edge.detail for edge in found.edges] == ["", "v2"]
    assert found.nodes[1].says.startswith("v2: ")
    assert found.nodes[2].says.startswith("train unet, ")
    assert await mlex.lineage("fit") == found.model_copy(update={"about": job.id})
