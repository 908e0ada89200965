"""Where exports write: into the folders that are allowed, through no link out of them, onto nothing that is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, MlexError, NotFound
from mlex_jupyter.forms import complete_params
from mlex_jupyter.types import ClassInfo, Preprocessing
from tests import needs
from tests.engine import settings_of

SHAPE = (3, 32, 40)
PORE = ClassInfo(value=3, name="pore", color="#112233")
Export = Callable[[str], Awaitable[object]]
KINDS = {"zarr": ".zarr", "tiff": ".tif", "coco": ".json", "coco-polygons": ".json", "package": ".zip"}


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    made = tmp_path / "allowed"
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    (made / "thesis").write_text("years")
    return made


@pytest.fixture
async def engine(home: Path, allowed: Path, outside: Path, described: Path) -> AsyncIterator[Mlex]:
    """A dataset with labels, in a home whose engine may write to one folder."""
    (home / "cache").symlink_to(described)
    made = Mlex(settings_of(home, roots=(allowed,)))
    np.save(allowed / "sand.npy", np.zeros(SHAPE, np.uint16))
    np.save(allowed / "painted.npy", np.full(SHAPE, 3, np.uint8))
    await made.register(str(allowed / "sand.npy"), name="sand")
    await made.import_labels("sand", str(allowed / "painted.npy"), name="truth", classes=(PORE,))
    yield made
    made.close()


@pytest.fixture(params=KINDS)
async def export(request: pytest.FixtureRequest, engine: Mlex) -> Export:
    """Every verb that writes to a path that somebody says, in every format; the path without its ending."""
    kind, ending = request.param, KINDS[request.param]
    if kind == "package":
        await publish(engine)
        return lambda place: engine.export_model("pores", f"{place}{ending}")
    return lambda place: engine.export_labels("sand", "truth", f"{place}{ending}", format=kind)


async def publish(engine: Mlex) -> None:
    needs.require("torch")
    from safetensors.torch import save_file

    from mlex_jupyter.learn.models import build

    unet = await engine.architecture("unet")
    params = complete_params(unet, {"depth": 2, "base_channels": 4})
    weights = engine.settings.home / "w.safetensors"
    save_file(build(unet.builder, params, channels=1, classes=1).state_dict(), weights)
    await engine.zoo.add(
        name="pores", architecture="unet", params=params, weights=engine.zoo.blobs.put(weights), classes=(PORE,),
        preprocessing=Preprocessing(offset=0, scale=1), run="r", dataset="d", labels="l", owner="tester",
    )  # fmt: skip


async def refused(work: Awaitable[object]) -> tuple[type[MlexError], str]:
    with pytest.raises(MlexError) as error:
        await work
    return type(error.value), error.value.message


def ending_of(request: pytest.FixtureRequest) -> str:
    return KINDS[request.node.callspec.params["export"]]


async def test_it_is_written_where_it_may_and_nothing_is_left_beside_it(
    export: Export, allowed: Path, request: pytest.FixtureRequest
) -> None:
    before = set(allowed.iterdir())
    await export(f"{allowed}/new")
    made = {path.name for path in set(allowed.iterdir()) - before}
    assert made - {"new.tif.classes.json"} == {f"new{ending_of(request)}"}


async def test_outside_of_the_folders_nothing_is_written_by_whatever_way(
    export: Export, allowed: Path, outside: Path, request: pytest.FixtureRequest
) -> None:
    ending = ending_of(request)
    (allowed / "link").symlink_to(outside)
    (allowed / f"itself{ending}").symlink_to(outside / "thesis")
    (allowed / f"dangling{ending}").symlink_to(outside / f"new{ending}")
    (allowed / "below").mkdir()
    for way in (
        f"{outside}/new",
        f"{allowed}/../outside/new",
        f"{allowed}/link/new",
        f"{allowed}/link/../outside/new",
        f"{allowed}/below/../../outside/new",
        f"{allowed}/itself",
        f"{allowed}/dangling",
        f"/proc/self/root{outside}/new",
    ):
        said = await refused(export(way))
        assert said == (Forbidden, f"{way}{ending} is outside of the folders that may be opened here.")
    assert [path.name for path in outside.iterdir()] == ["thesis"]
    assert (outside / "thesis").read_text() == "years"


async def test_a_way_into_the_folders_and_back_is_taken_as_the_kernel_takes_it(
    export: Export, allowed: Path, outside: Path, request: pytest.FixtureRequest
) -> None:
    (allowed / "below").mkdir()
    (outside / "into").symlink_to(allowed / "below")
    await export(f"{outside}/into/../new")  # allowed/below/.., whatever the words seem to say
    assert (allowed / f"new{ending_of(request)}").exists()
    assert sorted(path.name for path in outside.iterdir()) == ["into", "thesis"]


async def test_what_is_there_stays_as_it_is(export: Export, allowed: Path, request: pytest.FixtureRequest) -> None:
    ending = ending_of(request)
    (allowed / f"file{ending}").write_text("years")
    (allowed / f"folder{ending}").mkdir()
    (allowed / f"link{ending}").symlink_to(allowed / f"file{ending}")
    (allowed / f"dangling{ending}").symlink_to(allowed / "nothing")
    for name in ("file", "folder", "link", "dangling"):
        said = await refused(export(f"{allowed}/{name}"))
        assert said == (Conflict, f"{allowed}/{name}{ending} is there already.")
    assert (allowed / f"file{ending}").read_text() == "years"
    assert not list((allowed / f"folder{ending}").iterdir())
    assert not (allowed / "nothing").exists()


async def test_no_folder_and_no_name_are_said_so(export: Export, allowed: Path, request: pytest.FixtureRequest) -> None:
    kind, message = await refused(export(f"{allowed}/nowhere/new"))
    assert kind in (NotFound, Invalid)
    assert message.startswith("There is no folder ")
    assert f"{allowed}/nowhere" in message
    kind, message = await refused(export(f"{allowed}/a\0b"))
    assert kind is Invalid
    assert "is not a path" in message


async def test_names_beside_a_tiff_go_through_no_link(engine: Mlex, allowed: Path, outside: Path) -> None:
    (allowed / "new.tif.classes.json").symlink_to(outside / "thesis")
    said = await refused(engine.export_labels("sand", "truth", f"{allowed}/new.tif"))
    assert said == (Conflict, f"{allowed}/new.tif.classes.json is there already.")
    assert not (allowed / "new.tif").exists()
    await engine.export_labels("sand", "truth", f"{allowed}/new.tif", overwrite=True)
    assert (outside / "thesis").read_text() == "years", "the link was replaced, not followed"


async def test_overwriting_takes_no_link_and_no_folder_of_another_kind(
    engine: Mlex, allowed: Path, outside: Path
) -> None:
    for kind, ending in KINDS.items():
        if kind == "package":
            continue
        target = allowed / f"target-{kind}"
        target.write_text("years")
        (allowed / f"link-{kind}{ending}").symlink_to(target)
        place = f"{allowed}/link-{kind}{ending}"
        said = await refused(engine.export_labels("sand", "truth", place, format=kind, overwrite=True))
        assert said == (Conflict, f"{place} is something else, and is not overwritten.")
        assert target.read_text() == "years"
