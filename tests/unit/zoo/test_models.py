"""The zoo: every training published once for each name, cards, aliases, withdrawal, and what is found."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, update

from mlex_jupyter.errors import Conflict, Invalid, NotFound, Unavailable
from mlex_jupyter.events import Events
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import models, zoo_index, zoo_metrics
from mlex_jupyter.types import (
    ClassInfo,
    Dataset,
    Job,
    JobFile,
    JobState,
    LabelSet,
    Model,
    Preprocessing,
    Trained,
    ZooEntry,
    now,
)
from mlex_jupyter.zoo import Zoo
from mlex_jupyter.zoo.architectures import Architectures
from mlex_jupyter.zoo.sources import Sources
from tests.engine import settings_of, spec


@pytest.fixture
async def zoo(each_database: str, home: Path, described: Path) -> AsyncIterator[Zoo]:
    shutil.copytree(described, home / "cache")
    settings = settings_of(home)
    store = Store.open(settings)
    yield Zoo(store, settings, Architectures(settings, Sources(store, settings)))
    store.close()


# ---------------------------------------------------------------- publishing

DATA = Dataset(
    id="data-1", name="sand", uri="/x.npy", reader="numpy", shape=(2, 4, 4), dtype="uint8", axes="zyx", nbytes=32,
    created=now(),
)  # fmt: skip
CLASSES = (ClassInfo(value=1, name="grain", color="#ff0000"), ClassInfo(value=2, name="pore", color="#0000ff"))
LABELS = LabelSet(
    id="labels-1", name="scribbles", dataset="data-1", classes=CLASSES, version=1, uri="/l", counts={}, slices=(),
    created=now(),
)  # fmt: skip


class Training:
    """A finished training, as publishing sees it."""

    def __init__(self, folder: Path, number: int) -> None:
        weights = folder / f"weights-{number}.safetensors"
        weights.write_bytes(b"weights %d" % number)
        asked = spec(name=f"net-{number}")
        self.file = JobFile(
            id=f"run-{number}", name=f"net-{number}", owner="tester", spec=asked, data=DATA, labels=LABELS
        )
        self.job = Job(
            id=f"run-{number}", name=f"net-{number}", spec=asked, owner="tester", state=JobState.DONE, attempt=1,
            submitted=now(), metrics={"dice": 0.9},
        )  # fmt: skip
        self.trained = Trained(
            architecture="unet",
            builder="x:unet",
            params={"depth": 3},
            classes=CLASSES,
            preprocessing=Preprocessing(offset=1, scale=2),
            weights=str(weights),
        )

    async def publish(self, zoo: Zoo, name: str, **card: object) -> Model:
        return await zoo.publish(self.job, self.trained, self.file, owner="tester", name=name, **card)


async def found(zoo: Zoo, query: str = "", **sought: object) -> list[ZooEntry]:
    return list((await zoo.search(query, **sought)).entries)


async def test_published_twice_is_the_same_version(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    first = await training.publish(zoo, "pores", title="Pores", tags=("sand",))
    again = await asyncio.gather(*(training.publish(zoo, "pores") for _ in range(4)))
    assert {(model.id, model.version) for model in again} == {(first.id, 1)}
    assert len(await Events(zoo.store).after(0, kind="model")) == 1


async def test_another_training_is_the_next_version_and_another_name_its_own(zoo: Zoo, tmp_path: Path) -> None:
    first, second = Training(tmp_path, 1), Training(tmp_path, 2)
    versions = [(await training.publish(zoo, "pores")).version for training in (first, second, first)]
    assert versions == [1, 2, 1]
    assert (await first.publish(zoo, "grains")).version == 1
    assert (await zoo.model("pores")).run == "run-2"
    assert (await zoo.model("pores", 1)).run == "run-1"


async def test_a_model_keeps_all_that_prediction_needs_when_its_run_is_gone(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    model = await training.publish(zoo, "pores")
    Path(training.trained.weights).unlink()
    found = zoo.trained(await zoo.model("pores"))
    assert Path(found.weights).read_bytes() == b"weights 1"
    assert (found.classes, found.params) == (CLASSES, {"depth": 3})
    assert found.preprocessing == training.trained.preprocessing
    assert (model.dataset, model.labels, model.metrics) == ("data-1", "labels-1", {"dice": 0.9})


async def test_a_name_of_an_architecture_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="unet is the name of an architecture"):
        await Training(tmp_path, 1).publish(zoo, "unet")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "../x", "$(id)", "x" * 101, "'"])
async def test_a_name_that_is_none_is_refused(zoo: Zoo, tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="name = .* will not do"):
        await Training(tmp_path, 1).publish(zoo, name)


async def test_weights_that_are_gone_are_said_to_be(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    Path(training.trained.weights).unlink()
    with pytest.raises(NotFound):
        await training.publish(zoo, "pores")


@pytest.mark.needs("torch")
async def test_models_come_before_architectures_and_are_found_by_name_title_and_tag(zoo: Zoo, tmp_path: Path) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores-net", title="Pores in sandstone", tags=("beamtime-7",))
    await Training(tmp_path, 2).publish(zoo, "pores-net")
    await Training(tmp_path, 3).publish(zoo, "grains")
    everything = await found(zoo)
    kinds = [entry.kind for entry in everything]
    assert kinds == sorted(kinds, key=["model", "architecture"].index)
    assert {entry.name for entry in everything} >= {"pores-net", "grains", "unet"}
    assert [(entry.name, entry.version) for entry in await found(zoo, "pores*")] == [("pores-net", 2)]
    assert [entry.name for entry in await found(zoo, "GRAIN")] == ["grains"]
    assert await found(zoo, "no such thing") == []
    assert await found(zoo, "*", task="translation") == []


@pytest.mark.parametrize(("name", "version"), [("poers", None), ("pores", 9), ("'; DROP TABLE models; --", None)])
async def test_a_model_that_is_not_there_is_not_found(zoo: Zoo, tmp_path: Path, name: str, version: int | None) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores")
    with pytest.raises(NotFound) as caught:
        await zoo.model(name, version)
    assert caught.value.hint
    assert version or await zoo.find(name) is None


async def test_a_model_whose_architecture_is_gone_says_what_it_needs(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    training.trained = training.trained.model_copy(update={"architecture": "gone"})
    model = await training.publish(zoo, "pores")
    with pytest.raises(Unavailable, match="needs the architecture gone"):
        zoo.trained(model)


# ---------------------------------------------------------------- references, aliases, withdrawal


async def test_an_alias_moves_and_one_spelling_names_every_version(zoo: Zoo, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        await Training(tmp_path, number).publish(zoo, "pores")
    assert (await zoo.alias("pores", "champion", 2)).aliases == ("champion",)
    assert (await zoo.model("pores@champion")).version == 2
    assert (await zoo.model("pores@1")).version == 1
    assert (await zoo.model("pores")).version == 3
    moved = await zoo.alias("pores@3", "champion")
    assert (moved.version, moved.aliases) == (3, ("champion",))
    assert (await zoo.model("pores", 2)).aliases == ()
    await zoo.alias("pores", "champion", remove=True)
    with pytest.raises(NotFound, match="no version champion") as caught:
        await zoo.model("pores@champion")
    assert "1, 2, 3" in (caught.value.hint or "")
    said = [event.values for event in await Events(zoo.store).after(0, kind="model") if "alias" in event.values]
    assert [(one["change"], one["version"], one["before"]) for one in said] == [
        ("alias", 2, None), ("alias", 3, 2), ("alias removed", 3, 3)
    ]  # fmt: skip


@pytest.mark.parametrize("alias", ["", "3", "a b", "a@b", "x" * 101, "../x"])
async def test_what_is_no_alias_is_refused(zoo: Zoo, tmp_path: Path, alias: str) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores")
    with pytest.raises(Invalid, match="cannot be an alias"):
        await zoo.alias("pores", alias)


async def test_a_withdrawn_version_is_not_listed_and_its_exact_version_still_loads(zoo: Zoo, tmp_path: Path) -> None:
    for number in (1, 2):
        await Training(tmp_path, number).publish(zoo, "pores")
    assert (await zoo.withdraw("pores")).withdrawn
    assert (await zoo.model("pores")).version == 1
    assert [entry.version for entry in await found(zoo, "pores")] == [1]
    assert Path(zoo.trained(await zoo.model("pores@2")).weights).exists()
    await zoo.withdraw("pores")
    assert await found(zoo, "pores") == []
    assert await zoo.find("pores") is None
    with pytest.raises(NotFound, match="was withdrawn") as caught:
        await zoo.model("pores")
    assert "restore-model" in (caught.value.hint or "")
    assert [model.version for model in await zoo.versions("pores")] == [2, 1]
    assert (await zoo.restore("pores@2")).withdrawn is None
    assert [entry.version for entry in await found(zoo, "pores")] == [2]


async def test_a_version_that_an_alias_stands_for_is_not_withdrawn_by_accident(zoo: Zoo, tmp_path: Path) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores")
    await zoo.alias("pores", "champion")
    with pytest.raises(Conflict, match="pores@champion is this version"):
        await zoo.withdraw("pores")
    assert [entry.name for entry in await found(zoo, "pores")] == ["pores"]


async def test_a_card_is_edited_searched_anew_and_told_of(zoo: Zoo, tmp_path: Path) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores", title="Old words", tags=("sand",))
    model = await zoo.edit("pores", title="Cracks in shale", tags=("shale", "beamtime 7"), license="CC-BY-4.0")
    assert (await zoo.model("pores")) == model
    assert [entry.name for entry in await found(zoo, "shale")] == ["pores"]
    assert [entry.name for entry in await found(zoo, tags=("BEAMTIME 7",))] == ["pores"]
    assert await found(zoo, "old words") == await found(zoo, tags=("sand",)) == []
    assert await zoo.edit("pores", title="Cracks in shale") == model, "nothing changed"
    edits = [event.values for event in await Events(zoo.store).after(0, kind="model")][1:]
    assert [(one["change"], one["fields"]) for one in edits] == [("edited", ["license", "tags", "title"])]
    assert Path(zoo.trained(model).weights).read_bytes() == b"weights 1"


@pytest.mark.parametrize(
    ("card", "words"),
    [({}, "Nothing"), ({"tags": ("",)}, "tags"), ({"title": "x" * 201}, "title"), ({"visibility": "all"}, "visib")],
)
async def test_a_card_that_will_not_do_is_refused(
    zoo: Zoo, tmp_path: Path, card: dict[str, object], words: str
) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores")
    with pytest.raises(Invalid, match=words):
        await zoo.edit("pores", **card)


async def test_a_private_model_is_its_owners_alone(zoo: Zoo, tmp_path: Path) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores")
    settings = settings_of(zoo.settings.home, user="somebody")
    other = Zoo(zoo.store, settings, zoo.architectures)
    assert await found(other, "pores") == []
    assert await other.find("pores@1") is None
    with pytest.raises(Conflict, match="is taken"):
        await Training(tmp_path, 2).publish(other, "pores")
    await zoo.edit("pores", visibility="shared")
    assert [entry.name for entry in await found(other, "pores")] == ["pores"]
    with pytest.raises(Conflict, match="tester's"):
        await other.edit("pores", title="mine")


# ---------------------------------------------------------------- search


async def published(zoo: Zoo, folder: Path, *named: str, **fields: object) -> None:
    for number, name in enumerate(named):
        training = Training(folder, number)
        job = training.job.model_copy(update={"id": f"run-{name}", **fields})
        await zoo.publish(job, training.trained, training.file, owner="tester", name=name)


@pytest.mark.needs("torch")
async def test_an_exact_name_is_first_then_those_that_begin_so_then_the_others(zoo: Zoo, tmp_path: Path) -> None:
    await published(zoo, tmp_path, "sand", "sandstone", "foam")
    await zoo.edit("foam", title="Not sand")
    await published(zoo, tmp_path, "sand-2")
    assert [entry.name for entry in await found(zoo, "Sand")] == ["sand", "sand-2", "sandstone", "foam"]


@pytest.mark.needs("torch")
async def test_pages_go_on_where_the_last_ended_although_models_come_between(zoo: Zoo, tmp_path: Path) -> None:
    await published(zoo, tmp_path, *(f"net-{number}" for number in range(7)))
    everything = [entry.name for entry in await found(zoo)]
    seen, past = [], None
    while True:
        page = await zoo.search(past=past, limit=3)
        assert page.total == len(everything) + (len(seen) >= 3)
        seen += [entry.name for entry in page.entries]
        if (past := page.next) is None:
            break
        if len(seen) == 3:
            await published(zoo, tmp_path, "newer")
    assert seen == everything


async def test_models_are_found_by_how_good_they_are(zoo: Zoo, tmp_path: Path) -> None:
    for name, dice in (("poor", 0.4), ("good", 0.9), ("best", 0.95)):
        await published(zoo, tmp_path, name, metrics={"dice": dice, "loss/val": 1 - dice})
    assert [entry.name for entry in await found(zoo, metrics=("dice>=0.9",))] == ["best", "good"]
    assert [entry.name for entry in await found(zoo, metrics=("dice > 0.9", "loss/val<1e-1"))] == ["best"]
    assert [entry.name for entry in await found(zoo, "poor", metrics=("dice<0.5",))] == ["poor"]
    assert await found(zoo, metrics=("accuracy>=0",)) == []
    for text in ("dice", ">=1", "dice>=high", "dice=>1", ""):
        with pytest.raises(Invalid, match="compares no metric"):
            await zoo.search(metrics=(text,))


@pytest.mark.needs("torch")
async def test_filters_hold_together(zoo: Zoo, tmp_path: Path) -> None:
    await published(zoo, tmp_path, "pores", "grains")
    await zoo.edit("pores", tags=("sand", "7"))
    assert [entry.name for entry in await found(zoo, kind="architecture", query="unet")] == [
        "unet",
        "unet25d",
        "unet3d",
    ]
    assert {entry.kind for entry in await found(zoo, kind="model")} == {"model"}
    assert [entry.name for entry in await found(zoo, tags=("sand", "7"), owner="tester")] == ["pores"]
    assert await found(zoo, tags=("sand",), owner="somebody") == []
    assert {entry.name for entry in await found(zoo, architecture="unet")} == {"pores", "grains", "unet"}
    assert await found(zoo, framework="keras") == []


@pytest.mark.parametrize("past", ["", "1", "x.y", "1.-2", "1.2.3", "9" * 40])
async def test_a_place_that_is_none_is_refused(zoo: Zoo, past: str) -> None:
    with pytest.raises(Invalid, match="no place in this list"):
        await zoo.search(past=past)


async def test_models_of_an_older_version_are_found_as_well(zoo: Zoo, tmp_path: Path) -> None:
    await published(zoo, tmp_path, "pores", "grains")

    def older(tx: Connection) -> None:
        tx.execute(delete(zoo_index))
        tx.execute(delete(zoo_metrics))
        tx.execute(update(models).values(indexed=0, owner=None, visibility=None))

    await zoo.store.write(older)
    again = Zoo(zoo.store, zoo.settings, zoo.architectures)
    assert {entry.name for entry in await found(again, kind="model")} == {"pores", "grains"}
