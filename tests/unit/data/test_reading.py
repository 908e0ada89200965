"""Reading: whatever a file does to the library that opens it ends that read, in words, and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from mlex_jupyter.data import lanes
from mlex_jupyter.data.asking import environment
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.errors import Forbidden, Invalid
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Dataset, now

MISBEHAVING = """
import ctypes, os, sys, time
import numpy as np
from mlex_jupyter.data.volume import Volume

class Third:
    shape, dtype = (5, 3, 4), np.dtype(np.uint8)
    def __getitem__(self, cut):
        if cut[0].start == 3: ctypes.string_at(0)
        return np.full((5, 3, 4), cut[0].start, np.uint8)[cut]

class Reader:
    name = "odd"
    def opens(self, uri): return uri.endswith(".odd")
    def open(self, uri, axes=None):
        what = open(uri).read()
        if what == "crash": ctypes.string_at(0)
        if what == "abort": os.abort()
        if what == "exit": os._exit(3)
        if what == "raise": sys.exit("no")
        if what == "sleep": time.sleep(1000)
        if what == "memory": np.ones(1 << 33, np.uint8)
        if what == "print": os.write(1, b"rubbish" * 1000)
        if what == "secret": raise ValueError(" ".join(sorted(os.environ)))
        if what == "program": os.system("touch " + uri + ".ran")
        if what == "write": open(uri + ".written", "w")
        if what == "ask":
            import socket
            socket.create_connection(("127.0.0.1", int(os.path.basename(uri).split("-")[0])), timeout=5)
        if what == "third": return Volume(Third(), uri=uri, reader=self.name, axes=axes)
        return Volume(np.ones((2, 3, 4)), uri=uri, reader=self.name, axes=axes)
"""

Odd = Callable[..., str]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Odd:
    """`odd("crash")`: the path of a file that does this to its reader."""
    package = tmp_path / "packages"
    info = package / "odd-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "odd_reader.py").write_text(MISBEHAVING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlex.readers]\nodd = odd_reader:Reader\n")
    monkeypatch.setenv("PYTHONPATH", str(package))

    def make(what: str, name: str = "a") -> str:
        (tmp_path / f"{name}.odd").write_text(what)
        return str(tmp_path / f"{name}.odd")

    return make


def reading_with(home: Path, **settings: object) -> Reading:
    """One with processes of its own, which know this test's variables."""
    lanes.lane.cache_clear()
    return Reading(Settings.load(**{"home": home, "readers": 1, **settings}))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("crash", "crashed .SIGSEGV"),
        ("abort", "crashed .SIGABRT"),
        ("exit", "exit code 3"),
        ("raise", "cannot be read|exit code"),
        ("memory", "memory"),
    ],
)
async def test_a_crash_ends_the_read_in_words_and_the_next_read_goes_well(
    home: Path, tmp_path: Path, odd: Odd, what: str, says: str
) -> None:
    asked = reading_with(home)
    np.save(tmp_path / "good.npy", np.ones((2, 3, 4), np.uint8))
    for _ in range(2):
        with pytest.raises(Invalid, match=says) as refused:
            await asked.inspect(odd(what))
        assert refused.value.hint
        assert (await asked.inspect(str(tmp_path / "good.npy"))).shape == (2, 3, 4)


async def test_a_read_that_says_nothing_is_given_up_and_its_process_ended(home: Path, odd: Odd) -> None:
    asked, others = reading_with(home, reader_timeout_s=3), children()
    assert (await asked.inspect(odd(""))).shape == (2, 3, 4)
    (before,) = children() - others
    with pytest.raises(Invalid, match="given up: nothing came of it for 3 s"):
        await asked.inspect(odd("sleep"))
    assert before not in children()
    assert (await asked.inspect(odd(""))).shape == (2, 3, 4)


async def test_what_a_library_prints_is_no_answer(home: Path, odd: Odd) -> None:
    assert (await reading_with(home).inspect(odd("print"))).shape == (2, 3, 4)


async def test_a_reader_of_files_knows_no_secrets(home: Path, odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_TOKEN", "AWS_SECRET_ACCESS_KEY", "TILED_API_KEY", "MLEX_DATABASE"):
        monkeypatch.setenv(name, "secret")
    with pytest.raises(Invalid, match="PATH") as refused:
        await reading_with(home).inspect(odd("secret"))
    assert not any(word in refused.value.message for word in ("JUPYTER", "AWS", "TILED", "MLEX"))
    assert environment(os.environ, urls=True)["AWS_SECRET_ACCESS_KEY"] == "secret"


@pytest.mark.parametrize("what", ["program", "write"])
async def test_a_reader_starts_no_program_and_writes_nothing(home: Path, tmp_path: Path, odd: Odd, what: str) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Invalid):
        await reading_with(home).inspect(odd(what, "b"))
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "b.odd"])


async def test_a_reader_of_files_asks_no_other_host(home: Path, odd: Odd) -> None:
    asked: list[object] = []
    server = await asyncio.start_server(lambda *pair: asked.append(pair), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Invalid):
            await reading_with(home).inspect(odd("ask", f"{port}-b"))
    assert not asked


async def test_one_that_hangs_does_not_keep_the_others_waiting(home: Path, odd: Odd) -> None:
    asked = reading_with(home, readers=2, reader_timeout_s=60)
    hanging = asyncio.create_task(asked.inspect(odd("sleep")))
    await asyncio.sleep(0)
    try:
        assert (await asyncio.wait_for(asked.inspect(odd("", "b")), 50)).shape == (2, 3, 4)
        assert not hanging.done()
    finally:
        for process in psutil.Process().children():
            if "mlex_jupyter.data.readerprocess" in process.cmdline():
                process.kill()
        with pytest.raises(Invalid, match="was ended, probably for lack of memory"):
            await hanging


async def test_slices_come_back_as_they_are_and_are_read_anew_once_the_file_is_another(
    home: Path, tmp_path: Path
) -> None:
    asked = reading_with(home)
    for seed in (1, 2):
        values = np.random.default_rng(seed).integers(0, 60000, (4, 50, 70)).astype(np.uint16)
        np.save(tmp_path / "volume.npy", values)
        info = await asked.inspect(str(tmp_path / "volume.npy"))
        data = Dataset(id="data-1", name="volume", created=now(), **info.model_dump())
        for axis, expected in ((0, values[2]), (1, values[:, 2]), (2, values[:, :, 2])):
            found = await asked.plane(data, axis=axis, index=2)
            np.testing.assert_array_equal(np.frombuffer(found.data, found.dtype).reshape(found.shape), expected)


async def test_a_walk_shows_every_slice_as_it_is_also_where_it_turns_or_the_file_is_replaced(
    home: Path, tmp_path: Path
) -> None:
    asked = reading_with(home)
    values = np.random.default_rng(1).integers(0, 255, (12, 30, 40)).astype(np.uint8)
    zarr.create_array(tmp_path / "walk.zarr", data=values, chunks=(1, 30, 40), dimension_names=("z", "y", "x"))
    np.save(tmp_path / "walk.npy", values)
    for name in ("walk.zarr", "walk.npy"):
        info = await asked.inspect(str(tmp_path / name))
        data = Dataset(id="data-1", name="walk", created=now(), **info.model_dump())
        for index in (0, 1, 2, 3, 4, 3, 2, 1, 0, 7, 8, 10, 11, 11, 10):
            found = await asked.plane(data, axis=0, index=index)
            np.testing.assert_array_equal(np.frombuffer(found.data, found.dtype).reshape(found.shape), values[index])
            await asyncio.sleep(0.02)  # the next is read meanwhile
    np.save(tmp_path / "walk.npy", values[::-1])
    found = await asked.plane(data, axis=0, index=9)
    assert found.data == values[::-1][9].tobytes()


async def test_what_is_read_ahead_harms_nobody_who_asks_for_something_else(
    home: Path, tmp_path: Path, odd: Odd
) -> None:
    asked = reading_with(home)
    np.save(tmp_path / "good.npy", np.ones((2, 3, 4), np.uint8))
    info = await asked.inspect(odd("third"))
    data = Dataset(id="data-1", name="third", created=now(), **info.model_dump())
    for _ in range(2):
        for index in (1, 2):
            assert set((await asked.plane(data, axis=0, index=index)).data) == {index}
        assert (await asked.inspect(str(tmp_path / "good.npy"))).shape == (2, 3, 4)
    with pytest.raises(Invalid, match="crashed .SIGSEGV"):
        await asked.plane(data, axis=0, index=3)


async def test_who_gives_up_leaves_its_answer_to_nobody_else(home: Path, tmp_path: Path) -> None:
    asked = reading_with(home)
    np.save(tmp_path / "volume.npy", np.arange(6, dtype=np.uint8)[:, None, None].repeat(800, 1).repeat(800, 2))
    info = await asked.inspect(str(tmp_path / "volume.npy"))
    data = Dataset(id="data-1", name="volume", created=now(), **info.model_dump())
    for index in (1, 4, 2):
        gone = asyncio.create_task(asked.plane(data, axis=0, index=index))
        await asyncio.sleep(0)
        gone.cancel()
        assert set((await asked.plane(data, axis=0, index=5)).data) == {5}
        with pytest.raises(asyncio.CancelledError):
            await gone


async def test_a_slice_larger_than_the_shared_memory_comes_whole(home: Path, tmp_path: Path) -> None:
    values = np.arange(6000 * 6000, dtype=np.uint8).reshape(1, 6000, 6000)
    np.save(tmp_path / "large.npy", values)
    asked = reading_with(home)
    info = await asked.inspect(str(tmp_path / "large.npy"))
    data = Dataset(id="data-1", name="large", created=now(), **info.model_dump())
    assert (await asked.plane(data, axis=0, index=0)).data == values.tobytes()


async def test_a_file_larger_than_the_memory_is_read_piece_by_piece(home: Path, tmp_path: Path) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.zeros(0, np.uint8)) | {"shape": (3000, 1024, 1024)}
    with open(tmp_path / "sparse.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 3000 * 1024 * 1024)
    asked = reading_with(home, reader_memory_gb=0.5)
    info = await asked.inspect(str(tmp_path / "sparse.npy"))
    data = Dataset(id="data-1", name="sparse", created=now(), **info.model_dump())
    assert not any((await asked.plane(data, axis=0, index=2999)).data)


async def test_with_roots_only_what_really_lies_in_them_is_opened(home: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("data/mine.npy", "secret.npy"):
        np.save(tmp_path / name, np.ones((2, 3, 4), np.uint8))
    (tmp_path / "data" / "link.npy").symlink_to(tmp_path / "secret.npy")
    (tmp_path / "data" / "inside.npy").symlink_to(tmp_path / "data" / "mine.npy")
    asked = reading_with(home, roots=[tmp_path / "data"])
    for good in ("data/mine.npy", "data/inside.npy", "data/../data/mine.npy"):
        assert (await asked.inspect(str(tmp_path / good))).shape == (2, 3, 4)
    for bad in ("secret.npy", "data/link.npy", "data/../secret.npy", "nowhere.npy", "database.npy"):
        with pytest.raises(Forbidden, match="outside of the folders"):
            await asked.inspect(str(tmp_path / bad))


CONFINED = """
import os, sys
from mlex_jupyter.data.sandbox import confine
if not confine(reads=[sys.argv[1]], writes=[], urls=False):
    sys.exit(77)
import ctypes
libc = ctypes.CDLL(None)  # past all of Python's own hooks
for path in (sys.argv[1] + "/mine", sys.argv[2]):
    print(libc.open(path.encode(), 0) >= 0)
print(libc.open((sys.argv[1] + "/new").encode(), os.O_CREAT | os.O_WRONLY, 0o600) >= 0)
libc.execv(b"/bin/true", None)
print("not replaced")
"""


def test_the_kernel_holds_it_to_that_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("data/mine", "secret"):
        (tmp_path / name).write_text("x")
    command = [sys.executable, "-c", CONFINED, str(tmp_path / "data"), str(tmp_path / "secret")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this kernel has no Landlock")
    assert done.stdout.split("\n")[:4] == ["True", "False", "False", "not replaced"], done.stderr


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}
