"""What is said of a dataset is corrected, forgotten and remembered; what refers to it goes on doing so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.catalog import Catalog
from mlex_jupyter.catalog.index import Wanted
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.events import Events
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    store = Store.open(settings)
    yield Catalog(store, settings)
    store.close()


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    np.save(tmp_path / "stack.npy", np.ones((4, 8, 8), np.uint16))
    return tmp_path / "stack.npy"


async def test_where_it_came_from_is_kept_with_what_people_noted(catalog: Catalog, stack: Path) -> None:
    meta = {"beamline": "8.3.2", "sample id": "no"}
    with pytest.raises(Invalid, match="sample id"):
        await catalog.register(str(stack), meta=meta)
    data = await catalog.register(str(stack), meta={"beamline": "8.3.2"}, description="Wet sand,\nfrom the creek.")
    assert data.owner == "tester"
    assert data.provenance is not None
    assert (data.provenance.path, data.provenance.software.split()[0]) == (str(stack), "mlex-jupyter")
    assert data.provenance.host
    assert await catalog.search("creek 8.3.2") == [data]


@pytest.mark.parametrize(
    "wrong",
    [
        {"description": "x" * 10_001},
        {"meta": {"": "x"}},
        {"meta": {"a=b": "x"}},
        {"meta": {"-a": "x"}},
        {"meta": {"a": "x\x00"}},
        {"meta": {"a": "x" * 501}},
        {"meta": {f"k{number}": "" for number in range(101)}},
    ],
)
async def test_what_cannot_be_a_note_is_invalid(catalog: Catalog, stack: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await catalog.register(str(stack), **wrong)
    data = await catalog.register(str(stack))
    with pytest.raises(Invalid):
        await catalog.edit("stack", **wrong)
    assert await catalog.get("stack") == data


async def test_an_edit_changes_what_it_says_and_no_more(catalog: Catalog, stack: Path) -> None:
    before = await catalog.register(str(stack), tags=("wet", "als"), meta={"scan": "1", "beamline": "8.3.2"})
    after = await catalog.edit(
        "stack",
        name="sand",
        description="New",
        add_tags=("checked",),
        remove_tags=("wet",),
        meta={"scan": "2"},
        remove_meta=("beamline",),
        pixel_size=0.5,
        pixel_unit="µm",
    )
    assert after == await catalog.get("sand") == await catalog.get(before.id)
    changed = {"tags": ("als", "checked"), "meta": {"scan": "2"}, "pixel_size": (0.5,) * 3, "pixel_unit": "µm"}
    assert after == before.model_copy(update={"name": "sand", "description": "New"} | changed)
    with pytest.raises(NotFound):
        await catalog.get("stack")
    assert await catalog.search("checked") == [after]
    assert await catalog.search(Wanted(tags=("wet",))) == []
    *_, told = await Events(catalog.store).after(0)
    assert (told.subject, told.kind, told.values["name"]) == (before.id, "dataset", "sand")
    assert set(told.values["changed"]) == {"name", "description", "tags", "meta", "pixel_size", "pixel_unit"}  # type: ignore[arg-type]


async def test_an_edit_that_changes_nothing_tells_nothing(catalog: Catalog, stack: Path) -> None:
    data = await catalog.register(str(stack), tags=("wet",))
    assert await catalog.edit("stack", add_tags=("wet",)) == data
    assert len(await Events(catalog.store).after(0)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"remove_tags": ("dry",)},
        {"remove_meta": ("scan",)},
        {"add_tags": ("",)},
        {"pixel_size": 0.0},
        {"pixel_unit": "µm"},
    ],
)
async def test_an_edit_that_cannot_be_meant_changes_nothing(
    catalog: Catalog, stack: Path, wrong: dict[str, Any]
) -> None:
    data = await catalog.register(str(stack), tags=("wet",))
    with pytest.raises(Invalid):
        await catalog.edit("stack", **{"description": "New"} | wrong)
    assert await catalog.get("stack") == data


async def test_a_taken_name_is_a_conflict(catalog: Catalog, stack: Path) -> None:
    for name in ("a", "b"):
        await catalog.register(str(stack), name=name)
    with pytest.raises(Conflict):
        await catalog.edit("a", name="b")


async def test_a_corrected_pixel_holds_when_the_file_is_registered_again(catalog: Catalog, stack: Path) -> None:
    await catalog.register(str(stack), pixel_size=1.0)
    right = await catalog.edit("stack", pixel_size=0.65)
    assert await catalog.register(str(stack)) == right
    with pytest.raises(Conflict, match="pixel"):
        await catalog.register(str(stack), pixel_size=1.0)


# ---------------------------------------------------------------- forgetting


async def test_a_forgotten_dataset_is_not_listed_and_its_file_stays(catalog: Catalog, stack: Path) -> None:
    data = await catalog.register(str(stack))
    await catalog.forget("stack")
    assert await catalog.search() == []
    assert (await catalog.facets()).total == 0
    assert stack.exists()
    with pytest.raises(NotFound) as refused:
        await catalog.get(data.id)
    assert refused.value.hint == f"Register it again: mlex register {stack}"
    *_, told = await Events(catalog.store).after(0)
    assert (told.kind, told.values) == ("dataset", {"name": "stack", "forgotten": True})
    with pytest.raises(NotFound):
        await catalog.forget("stack")


async def test_registered_again_it_is_what_it_was(catalog: Catalog, stack: Path) -> None:
    data = await catalog.register(str(stack), name="sand", tags=("wet",), meta={"scan": "1"}, pixel_size=2.0)
    await catalog.forget("sand")
    again = await catalog.register(str(stack), tags=("new",))
    assert again == data.model_copy(update={"tags": ("wet", "new")})
    assert await catalog.search("wet") == [again]


async def test_another_volume_at_the_same_place_is_another_dataset(catalog: Catalog, stack: Path) -> None:
    data = await catalog.register(str(stack))
    await catalog.forget("stack")
    np.save(stack, np.ones((5, 8, 8), np.uint16))
    assert (await catalog.register(str(stack))).id != data.id


async def test_its_old_name_may_be_given_to_another(catalog: Catalog, stack: Path, tmp_path: Path) -> None:
    data = await catalog.register(str(stack), name="sand")
    await catalog.forget("sand")
    np.save(tmp_path / "other.npy", np.zeros((2, 8, 8), np.uint16))
    other = await catalog.register(str(tmp_path / "other.npy"), name="sand")
    again = await catalog.register(str(stack))
    assert (again.id, again.name) == (data.id, "stack")
    assert (await catalog.get("sand")).id == other.id


async def test_its_labels_and_its_lineage_come_back_with_it(mlex: Mlex, stack: Path, tmp_path: Path) -> None:
    painted = np.zeros((4, 8, 8), np.uint8)
    painted[1] = 1
    np.save(tmp_path / "l.npy", painted)
    data = await mlex.register(str(stack))
    await mlex.import_labels("stack", str(tmp_path / "l.npy"))
    await mlex.forget("stack")
    kept = await mlex.lineage(data.id)
    assert [(node.name, node.kind) for node in kept.nodes] == [("stack", "dataset"), ("labels", "labels")]
    assert kept.nodes[0].says.endswith("forgotten")
    await mlex.register(str(stack))
    assert [labelled.name for labelled in await mlex.labels("stack")] == ["labels"]


async def test_what_an_unfinished_job_uses_is_not_forgotten(
    mlex: Mlex, stack: Path, tmp_path: Path, described: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlex, "keep_moving", lambda: None)
    shutil.copytree(described, mlex.settings.home / "cache")
    painted = np.ones((4, 8, 8), np.uint8)
    painted[:2] = 2
    np.save(tmp_path / "l.npy", painted)
    await mlex.register(str(stack))
    await mlex.import_labels("stack", str(tmp_path / "l.npy"))
    job = await mlex.train("unet", data="stack", labels="labels", name="fit")
    with pytest.raises(Conflict, match="fit") as refused:
        await mlex.forget("stack")
    assert refused.value.hint == "Wait for it, or cancel it: mlex cancel fit"
    renamed = await mlex.edit_data("stack", rename="sand")
    assert (await mlex.job_list.file(job.id)).data.id == renamed.id  # type: ignore[union-attr]
    assert (await mlex.job(job.id)).state == "waiting"
