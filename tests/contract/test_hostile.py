"""Hundreds of hostile files, folders and names, through every way in: refused in words, or harmless.

None runs anything, none shows what lies outside of the folders that are allowed, none takes more memory than a reader
may have, and the process that asks is as well as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import psutil
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import MlexError
from mlex_jupyter.settings import Settings
from tests.hostile import MARK, Case, Ground, arrays, ground, hdf5s, names, tiffs, zarrs

FAMILIES = [arrays, zarrs, tiffs, hdf5s, names]
MEMORY_GB = 0.5
LIBRARIES_GB = 0.3
"""What a reader takes before it has read anything, and what of the files it maps is in memory."""
LINKED = ("a link to", "a linked", "a secret", "a pattern in a secret", "the path", "the URL")
"""Without roots these are what they say: another file of the same user, by another way."""


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    made = ground(tmp_path_factory.mktemp("hostile"))
    yield made
    for closed in made.folder.rglob("*"):
        if closed.is_file() and not closed.is_symlink():
            closed.chmod(0o600)


@cache
def cases_of(family: ModuleType, at: Ground) -> list[Case]:
    """Made once: some of them take a while."""
    return list(family.cases(at))


class Watched:
    """The most memory that a reader process took, and by how much this process grew."""

    def __enter__(self) -> Watched:
        self.readers = self.grown = 0
        self._before = psutil.Process().memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.grown = max(self.grown, psutil.Process().memory_info().rss - self._before)
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    self.readers = max(self.readers, child.memory_info().rss)


async def engine(home: Path, roots: list[Path]) -> AsyncIterator[Mlex]:
    found = Mlex(Settings.load(home=home, roots=roots, reader_memory_gb=MEMORY_GB, reader_timeout_s=60))
    yield found
    found.close()


async def through(mlex: Mlex, case: Case, number: int) -> bytes:
    """Register it, look at it, take it as labels: every error is in words. All that was shown comes back."""
    shown: list[bytes] = []
    try:
        data = await mlex.register(case.uri, name=f"case-{number}")
        shown.append(data.model_dump_json().encode())
        for axis in (0, 1):
            with contextlib.suppress(MlexError):
                shown.append((await mlex.catalog.reading.plane(data, axis=axis, index=None)).data)
        shown.append(await mlex.catalog.reading.picture(data, axis=0, index=None, size=64))
    except MlexError as error:
        in_words(error)
        shown.append(f"{error.message} {error.hint}".encode(errors="replace"))
    with contextlib.suppress(MlexError):
        await mlex.import_labels("good", case.uri, name=f"labels-{number}")
        shown.append(b"".join(file.read_bytes() for file in mlex.label_sets.folder.rglob("c/*/*/*") if file.is_file()))
    return b"".join(shown)


def in_words(error: MlexError) -> None:
    assert error.status < 500, error.message
    assert 10 < len(error.message) < 1500, error.message
    assert "Traceback" not in error.message
    assert 'File "' not in error.message


async def tried(home: Path, at: Ground, cases: list[Case], roots: list[Path]) -> dict[str, str]:
    """What went wrong, by the case's name; {} where nothing did."""
    wrong: dict[str, str] = {}
    np.save(at.folder / "good.npy", np.zeros((4, 32, 32), np.uint8))
    async for mlex in engine(home, roots):
        await mlex.register(str(at.folder / "good.npy"), name="good")
        for number, case in enumerate(cases):
            begun = time.monotonic()
            try:
                shown = await through(mlex, case, number)
            except Exception as error:
                wrong[case.name] = f"{type(error).__name__}: {error}"
                continue
            if MARK in shown and (roots or not case.name.startswith(LINKED)):
                wrong[case.name] = "showed a secret"
            if at.canary.exists():
                wrong[case.name] = "ran"
                at.canary.unlink()
            if time.monotonic() - begun > 30:
                wrong[case.name] = f"took {time.monotonic() - begun:.0f} s"
        assert (await mlex.catalog.reading.inspect(str(at.folder / "good.npy"))).shape == (4, 32, 32)
    return wrong


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.rpartition(".")[2])
async def test_whatever_it_is_it_is_refused_in_words_or_harmless(home: Path, at: Ground, family: ModuleType) -> None:
    cases = cases_of(family, at)
    outside = sorted(at.outside.rglob("*"))
    with Watched() as memory:
        assert await tried(home, at, cases, [at.folder]) == {}
    assert memory.readers < (MEMORY_GB + LIBRARIES_GB) * 2**30
    assert memory.grown < 0.3 * 2**30
    assert sorted(at.outside.rglob("*")) == outside
    assert not Path("/tmp/escaped.npy").exists()


@pytest.mark.parametrize("family", [zarrs, tiffs, hdf5s], ids=lambda family: family.__name__.rpartition(".")[2])
async def test_without_roots_no_file_shows_another_one_as_its_own(home: Path, at: Ground, family: ModuleType) -> None:
    pointing = [
        case for case in cases_of(family, at) if any(word in case.name for word in ("link", "secret", "elsewhere"))
    ]
    assert await tried(home, at, pointing, []) == {}


async def test_the_secrets_would_be_seen(home: Path, at: Ground) -> None:
    async for mlex in engine(home, []):
        await mlex.register(str(at.outside / "secret.npy"), name="good")
        for number, name in enumerate(("secret.npy", "secret.zarr", "secret.tif")):
            assert MARK in await through(mlex, Case(name, str(at.outside / name)), number)


def test_there_are_enough_of_them(at: Ground) -> None:
    found = [case for family in FAMILIES for case in cases_of(family, at)]
    assert len({case.name for case in found}) == len(found) > 200


async def test_many_at_once_leave_room_for_who_only_looks(home: Path, at: Ground) -> None:
    async for mlex in engine(home, [at.folder]):
        np.save(at.folder / "good.npy", np.zeros((4, 32, 32), np.uint8))
        hostile = [mlex.register(case.uri, name=f"case-{number}") for number, case in enumerate(cases_of(arrays, at))]
        many = asyncio.gather(*hostile, return_exceptions=True)
        good = await mlex.register(str(at.folder / "good.npy"), name="good")
        assert len((await mlex.catalog.reading.plane(good, axis=0, index=0)).data) == 1024
        assert all(isinstance(found, MlexError) or found.name for found in await many)
    assert os.getpid() == psutil.Process().pid
