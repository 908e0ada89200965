"""From a trained network to what to label next, with real jobs and through every face."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.errors import JobEnded, MlexError
from mlex_jupyter.settings import Settings
from tests.conftest import mlex_command
from tests.servers import Server, end_processes_of, running_server

QUICK = {"epochs": 1, "steps_per_epoch": 20, "batch": 2, "patch": 32, "base_channels": 4, "depth": 3}
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a volume of 24 slices, a network that knows little of it, and its prediction."""
    home = tmp_path_factory.mktemp("predictions")
    mlex_command("sample", "--size=64", "--slices=24", home=home)
    params = [word for name, value in QUICK.items() for word in ("-p", f"{name}={value}")]
    mlex_command("train", "unet", "--data=sand-tomo", "--labels=scribbles", "-o", "net", *params, "--wait", home=home)
    mlex_command("predict", "net", "--data=sand-tomo", "-o", "seg", "--wait", home=home)
    yield home
    end_processes_of(home)


@pytest.fixture
def shell(place: Path) -> Shell:
    return lambda *words, check=True: mlex_command(*words, home=place, check=check)


def said(shell: Shell, *words: str) -> object:
    return json.loads(shell(*words, "--json").stdout)


async def labelled_slices(mlex: Mlex) -> set[int]:
    (labels,) = await mlex.labels("sand-tomo")
    return set(labels.slices)


async def test_suggestions_leave_out_what_is_labelled_and_are_apart(place: Path) -> None:
    mlex = Mlex(Settings.load(home=place))
    found = await mlex.suggest("seg", count=4)
    zs = [one.z for one in found]
    labelled = await labelled_slices(mlex)
    assert len(zs) == 4 and len(labelled) == 3
    assert all(abs(z - other) > 1 for z in zs for other in labelled)
    assert all(b - a > 1 for a, b in zip(sorted(zs), sorted(zs)[1:], strict=False))
    everything = {one.z: one.uncertainty for one in (await mlex.segmented("seg")).slices}
    assert len(everything) == 24
    allowed = {z: share for z, share in everything.items() if all(abs(z - other) > 1 for other in labelled)}
    assert found[0].uncertainty == max(allowed.values())
    mlex.close()


async def test_all_faces_say_the_same(place: Path, shell: Shell, tmp_path: Path) -> None:
    mlex = Mlex(Settings.load(home=place))
    truth = [one.model_dump() for one in await mlex.suggest("seg", count=3)]
    assert said(shell, "suggest", "seg", "--count=3") == truth
    table = shell("segmented", "seg").stdout
    assert "Pore" in table and "Objects" in table and "uncertainty" in table
    mlex.close()
    with running_server(place, tmp_path / "work", app="server") as server:
        assert isinstance(server, Server)
        with server.client() as client:
            assert client.get("/jobs/seg/suggestions", params={"count": 3}).json() == truth
            assert len(client.get("/jobs/seg/segmented").json()["classes"]) == 4
            refused = client.get("/jobs/net/suggestions")
        assert (refused.status_code, refused.json()["message"]) == (400, "net is not a prediction.")


async def test_uncertainty_and_prediction_are_datasets_over_the_volume(place: Path) -> None:
    mlex = Mlex(Settings.load(home=place))
    made, unsure = await mlex.dataset("seg"), await mlex.dataset("seg-uncertainty")
    volume = await mlex.dataset("sand-tomo")
    assert made.shape == unsure.shape == volume.shape
    assert volume.id in unsure.derived_from and volume.id in made.derived_from
    with open_volume(made) as values, open_volume(unsure) as shares:
        assert set(np.unique(values[...])) <= {1, 2, 3, 4}
        assert shares[...].max() > 0
    kinds = {one.kind for one in (await mlex.job("seg")).outputs}
    assert kinds == {"dataset", "picture", "file"}
    mlex.close()


async def test_a_model_is_tried_on_one_slice_without_leaving_a_dataset(place: Path, shell: Shell) -> None:
    mlex = Mlex(Settings.load(home=place))
    before = len(await mlex.data())
    tried = said(shell, "try", "net", "--data=sand-tomo", "--slice=5")
    assert isinstance(tried, dict)
    assert (tried["z"], tried["fit"]["fits"]) == (5, True)
    whole = {one.z: one.uncertainty for one in (await mlex.segmented("seg")).slices}
    assert tried["uncertainty"] == pytest.approx(whole[5], abs=1e-4), "as in the prediction of all of it"
    assert (place / tried["picture"]).read_bytes().startswith(b"\x89PNG")
    assert len(await mlex.data()) == before
    mlex.close()


async def test_what_does_not_suit_is_said_before_anything_runs(place: Path) -> None:
    mlex = Mlex(Settings.load(home=place))
    far = np.full((4, 64, 64), 60_000, np.uint16) + np.arange(64, dtype=np.uint16)
    np.save(place / "far.npy", far)
    await mlex.register(str(place / "far.npy"), name="far")
    jobs = await mlex.job_counts()
    with pytest.raises(MlexError, match="far from those of the training"):
        await mlex.try_("net", data="far")
    for wrong in ("ten", "3:x", "-4"):
        with pytest.raises(MlexError, match="say a slice, as 10, a range, as 10:40, all or middle"):
            await mlex.predict("net", data="sand-tomo", slices=wrong)
    assert (await mlex.job_counts()).total == jobs.total
    mlex.close()


async def test_several_jobs_share_a_prediction(place: Path) -> None:
    mlex = Mlex(Settings.load(home=place))
    job = await mlex.predict("net", data="sand-tomo", shards=3, name="shared", wait=True)
    parts = await mlex.jobs("shared-*")
    assert sorted(part.name for part in parts) == ["shared-1", "shared-2", "shared-3"]
    assert all(part.state == "done" and not part.outputs for part in parts)
    assert (await mlex.segmented(job.id)).classes == (await mlex.segmented("seg")).classes
    with pytest.raises(MlexError, match="ask for 1 to"):
        await mlex.predict("net", data="sand-tomo", shards=0)
    mlex.close()


async def test_several_volumes_are_a_job_each_and_a_group(place: Path, shell: Shell) -> None:
    mlex = Mlex(Settings.load(home=place))
    values = open_volume(await mlex.dataset("sand-tomo"))
    for name in ("left", "right"):
        np.save(place / f"{name}.npy", values[:3])
        await mlex.register(str(place / f"{name}.npy"), name=name)
    jobs = json.loads(shell("predict", "net", "--data", "left", "right", "-o", "both", "--wait", "--json").stdout)
    assert [(job["name"], job["state"]) for job in jobs] == [("both-left", "done"), ("both-right", "done")]
    assert {job.name for job in await mlex.jobs(experiment="both")} == {"both-left", "both-right"}
    first, second = [await mlex.segmented(job["id"]) for job in jobs]
    assert first.classes == second.classes, "of the same voxels the same"
    with pytest.raises(MlexError, match="nowhere"):
        await mlex.predict("net", data=("left", "nowhere"), name="none")
    for job in await mlex.jobs("none-*"):
        with pytest.raises(JobEnded):  # all of them or none
            await mlex.wait(job.id)
    with pytest.raises(MlexError, match="a key stands for one job"):
        await mlex.predict("net", data=("left", "right"), key="mine")
    mlex.close()
