"""The sample: made once, registered with its truth and scribbles, and kept when asked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Invalid
from tests.engine import settings_of

SMALL = {"size": 32, "slices": 6, "seed": 3}


@pytest.fixture
async def mlex(home: Path) -> AsyncIterator[Mlex]:
    engine = Mlex(settings_of(home))
    yield engine
    engine.close()


async def test_it_is_registered_with_its_truth_and_scribbles(mlex: Mlex) -> None:
    data = await mlex.sample(**SMALL)
    assert (data.name, data.shape, data.axes) == ("sand-tomo", (6, 32, 32), "zyx")
    truth = await mlex.dataset("sand-tomo-truth")
    assert truth.shape == data.shape
    assert truth.classes
    assert truth.derived_from == (data.id,)
    (scribbles,) = await mlex.labels("sand-tomo")
    assert (scribbles.name, scribbles.version) == ("scribbles", 1)
    assert scribbles.classes == truth.classes
    assert 1 <= len(scribbles.slices) <= 3
    painted = np.asarray(zarr.open_array(scribbles.uri, mode="r")[:])
    meant = np.asarray(zarr.open_array(truth.uri, mode="r")[:])
    assert 0 < np.count_nonzero(painted) < painted.size / 2
    assert sum(scribbles.counts.values()) == np.count_nonzero(painted)
    assert set(np.unique(painted)) - {0} <= {found.value for found in truth.classes}
    assert set(np.unique(meant)) <= {found.value for found in truth.classes}


async def test_asked_for_again_nothing_is_made_twice(mlex: Mlex) -> None:
    first = await mlex.sample(**SMALL)
    written = (Path(first.uri) / "zarr.json").stat().st_mtime_ns
    assert await mlex.sample(**SMALL) == first
    assert (Path(first.uri) / "zarr.json").stat().st_mtime_ns == written
    assert len(await mlex.labels("sand-tomo")) == 1
    assert len(await mlex.data()) == 2


async def test_another_volume_under_the_same_name_is_a_conflict(mlex: Mlex) -> None:
    await mlex.sample(**SMALL)
    with pytest.raises(Conflict, match="sand-tomo is there already"):
        await mlex.sample(**{**SMALL, "size": 48})
    other = await mlex.sample(**{**SMALL, "size": 48, "name": "other"})
    assert other.shape == (6, 48, 48)


async def test_the_same_seed_is_the_same_volume_and_another_another(mlex: Mlex) -> None:
    volumes = [
        await mlex.sample(**{**SMALL, "name": name, "seed": seed}) for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    ]
    a, b, c = (np.asarray(zarr.open_array(volume.uri, mode="r")[:]) for volume in volumes)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("name", ["", "..", "../x", "a b", "a\nb", "$(id)", "x" * 101])
async def test_a_name_that_is_none_is_refused_and_nothing_is_written(mlex: Mlex, home: Path, name: str) -> None:
    with pytest.raises(Invalid):
        await mlex.sample(**{**SMALL, "name": name})
    assert not (home / "data").exists() or list((home / "data").iterdir()) == []
    assert not (home.parent / "x").exists()


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"size": -5}, {"slices": 0}, {"size": 10**9}, {"texture": "cheese"}, {"seed": -1}]
)
async def test_a_sample_that_cannot_be_is_refused_in_words(mlex: Mlex, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        await mlex.sample(**{**SMALL, **wrong})  # type: ignore[arg-type]
    assert caught.value.message
    assert await mlex.data() == []
