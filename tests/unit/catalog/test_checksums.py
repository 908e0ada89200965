"""Checksums: noted once, compared file by file, by a job where there is much to read."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.catalog.checksums import Progress
from mlex_jupyter.data.digests import checksum_of, contents_of, places_of
from mlex_jupyter.errors import Invalid, NotFound, Unavailable
from mlex_jupyter.runevents import read_events
from mlex_jupyter.types import JobState


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    values = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)
    zarr.create_array(tmp_path / "scan.zarr", data=values, chunks=(1, 8, 8))
    return tmp_path / "scan.zarr"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    np.save(tmp_path / "picture.npy", np.ones((8, 8), np.uint16))
    return tmp_path / "picture.npy"


async def test_a_file_s_checksum_is_what_sha256sum_says(mlex: Mlex, picture: Path) -> None:
    await mlex.register(str(picture))
    found = await mlex.verify("picture")
    said = subprocess.run(["sha256sum", picture], capture_output=True, text=True, check=True).stdout.split()[0]
    assert (found.state, found.checksum) == ("noted", f"sha256:{said}")
    assert (await mlex.dataset("picture")).checksum == f"sha256:{said}"
    assert (found.files, found.nbytes) == (1, picture.stat().st_size)


async def test_what_is_as_it_was_is_the_same_also_as_a_copy(mlex: Mlex, scan: Path, tmp_path: Path) -> None:
    await mlex.register(str(scan))
    first = await mlex.verify("scan")
    assert (await mlex.verify("scan")).state == "same"
    shutil.copytree(scan, tmp_path / "elsewhere" / "copy.zarr")
    await mlex.register(str(tmp_path / "elsewhere" / "copy.zarr"))
    assert (await mlex.verify("copy")).checksum == first.checksum


async def test_what_changed_is_named(mlex: Mlex, scan: Path) -> None:
    await mlex.register(str(scan))
    noted = await mlex.verify("scan")
    chunks = sorted(path for path in (scan / "c").rglob("*") if path.is_file())
    status = chunks[0].stat()
    content = bytearray(chunks[0].read_bytes())
    content[-1] ^= 1
    chunks[0].write_bytes(content)
    os.utime(chunks[0], ns=(status.st_atime_ns, status.st_mtime_ns))  # as a disk does it, which tells nobody
    chunks[1].unlink()
    (scan / "notes.txt").write_text("new")
    found = await mlex.verify("scan")
    assert found.state == "changed"
    assert found.changed == (str(chunks[0].relative_to(scan)),)
    assert found.missing == (str(chunks[1].relative_to(scan)),)
    assert found.added == ("notes.txt",)
    assert "1 changed, 1 missing, 1 added, of 5 files" in found.says
    assert (found.expected, (await mlex.dataset("scan")).checksum) == (noted.checksum, noted.checksum)
    assert await mlex.verification("scan") == found


async def test_what_changed_can_be_accepted(mlex: Mlex, picture: Path) -> None:
    await mlex.register(str(picture))
    await mlex.verify("picture")
    np.save(picture, np.zeros((8, 8), np.uint16))
    assert (await mlex.verify("picture")).changed == (".",)
    accepted = await mlex.verify("picture", accept=True)
    assert accepted.state == "noted"
    assert (await mlex.dataset("picture")).checksum == accepted.checksum
    assert (await mlex.verify("picture")).state == "same"


@pytest.mark.parametrize("how", ["gone", "damaged", "of another"])
async def test_without_the_list_of_files_the_checksum_still_holds(mlex: Mlex, picture: Path, how: str) -> None:
    data = await mlex.register(str(picture))
    await mlex.verify("picture")
    kept = mlex.settings.home / "checksums" / f"{data.id}.json"
    if how == "gone":
        kept.unlink()
    else:
        kept.write_text("{" if how == "damaged" else '{"files": {".": [1, "00"]}}')
    before = picture.read_bytes()
    np.save(picture, np.zeros((8, 8), np.uint16))
    changed = await mlex.verify("picture")
    assert (changed.state, changed.changed) == ("changed", ())
    picture.write_bytes(before)
    assert (await mlex.verify("picture")).state == "same"
    np.save(picture, np.zeros((8, 8), np.uint16))
    assert (await mlex.verify("picture")).changed == (".",)


async def test_a_file_that_is_gone_or_leads_elsewhere_is_said(mlex: Mlex, scan: Path, tmp_path: Path) -> None:
    await mlex.register(str(scan))
    with pytest.raises(NotFound, match="never verified"):
        await mlex.verification("scan")
    (tmp_path / "secret").write_text("x")
    (scan / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(Invalid, match="elsewhere"):
        await mlex.verify("scan")
    shutil.rmtree(scan)
    with pytest.raises(NotFound):
        await mlex.verify("scan")


async def test_a_pipe_in_a_folder_keeps_nobody_waiting(mlex: Mlex, scan: Path) -> None:
    await mlex.register(str(scan))
    os.mkfifo(scan / "pipe")
    with pytest.raises(Invalid, match="plain file"):
        await mlex.verify("scan")


async def test_a_large_one_is_read_by_a_job(mlex: Mlex, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlex_jupyter.facade.data.LARGE_BYTES", 10)
    await mlex.register(str(scan))
    begun = await mlex.verify("scan")
    assert begun.state == "running"
    assert begun.job is not None
    assert (await mlex.wait(begun.job, timeout_s=120)).state is JobState.DONE
    found = await mlex.verification("scan")
    assert (found.state, found.files) == ("noted", 5)
    assert (await mlex.dataset("scan")).checksum == found.checksum
    assert "noted" in (await mlex.log(begun.job)).text


async def test_asked_twice_it_is_one_job(mlex: Mlex, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlex_jupyter.facade.data.LARGE_BYTES", 10)
    monkeypatch.setattr(mlex, "keep_moving", lambda: None)
    await mlex.register(str(scan))
    assert (await mlex.verify("scan")).job == (await mlex.verify("scan")).job
    assert len(await mlex.jobs()) == 1


def test_progress_is_told_to_who_waits_and_to_who_watches_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlex_jupyter.catalog.checksums.SAY_EVERY_S", 0)
    monkeypatch.setenv("MLEX_JOB_FOLDER", str(tmp_path))
    told: list[str] = []
    stop = Event()
    progress = Progress("scan", stop, told.append)
    progress.total = 4_000_000_000
    progress(1_000_000_000)
    progress(1_000_000_000)
    assert told == ["read 1.0 GB of 4.0 GB of scan", "read 2.0 GB of 4.0 GB of scan"]
    values: list[Any] = [event.values for event in read_events(tmp_path / "events.jsonl", 0).events]
    assert [(value["done"], value["total"], value["fraction"]) for value in values] == [
        (1000, 4000, 0.25),
        (2000, 4000, 0.5),
    ]
    stop.set()
    with pytest.raises(Unavailable):
        progress(1)


def test_a_folder_s_checksum_can_be_made_with_a_shell(tmp_path: Path) -> None:
    for name, text in (("b/c", "two"), ("a", "one")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    digests = [f"3\t{hashlib.sha256(text).hexdigest()}\t{name}\n" for name, text in (("a", b"one"), ("b/c", b"two"))]
    lines = "".join(digests)
    found = contents_of(places_of(str(tmp_path)), lambda more: None)
    assert checksum_of(found) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
