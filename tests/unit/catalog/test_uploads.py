"""Uploads: pieces in any company, one dataset in the end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import zarr

from mlex_jupyter import pieces
from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Invalid, NotFound, Unavailable
from mlex_jupyter.pieces import Piece
from mlex_jupyter.types import Upload, UploadFile, checked

module = import_module("mlex_jupyter.catalog.uploads")  # the package's own `uploads` is the verb


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "scan 1.npy"
    path.parent.mkdir()
    np.save(path, np.arange(6 * 20 * 30, dtype="uint16").reshape(6, 20, 30))
    return path


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 1000)


async def begun(mlex: Mlex, path: Path) -> Upload:
    return await mlex.begin_upload("scan", tuple(module.files_below(path)))


async def test_an_uploaded_file_is_a_dataset_in_the_home(mlex: Mlex, volume: Path, small_pieces: None) -> None:
    dataset = await mlex.upload(str(volume), tags=("night shift",), pixel_size=0.5, pixel_unit="um")
    assert (dataset.name, dataset.shape, dataset.tags) == ("scan-1", (6, 20, 30), ("night shift",))
    assert Path(dataset.uri).is_relative_to(mlex.settings.home)
    assert Path(dataset.uri).read_bytes() == volume.read_bytes()
    assert await mlex.uploads() == []


async def test_a_folder_keeps_its_files_where_they_were(mlex: Mlex, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (4, 16, 16), dtype="uint8")
    zarr.create_array(tmp_path / "scan.zarr", data=values)
    dataset = await mlex.upload(str(tmp_path / "scan.zarr"))
    assert np.array_equal(np.asarray(zarr.open_array(dataset.uri)), values)


async def test_an_upload_that_broke_off_goes_on_where_it_stopped(
    mlex: Mlex, volume: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = mlex.all_uploads.take

    async def break_off(upload_id: str, path: str, offset: int, piece: bytes | Piece, **more: bool) -> UploadFile:
        if len(sent) == 3:
            sent.append(-1)
            raise ConnectionError("gone")
        sent.append(offset)
        return await send(upload_id, path, offset, piece, **more)

    monkeypatch.setattr(mlex.all_uploads, "take", break_off)
    with pytest.raises(ConnectionError):
        await mlex.upload(str(volume))
    assert [upload.received for upload in await mlex.uploads()] == [3000]
    dataset = await mlex.upload(str(volume))
    assert sent[:5] == [0, 1000, 2000, -1, 3000]
    assert Path(dataset.uri).read_bytes() == volume.read_bytes()


async def test_a_changed_file_does_not_go_on_where_another_stopped(mlex: Mlex, volume: Path) -> None:
    upload = await begun(mlex, volume)
    await mlex.send_piece(upload.id, volume.name, 0, b"\0" * 100)
    os.utime(volume, (1, 1))
    dataset = await mlex.upload(str(volume), name="scan")
    assert Path(dataset.uri).read_bytes() == volume.read_bytes()
    assert [left.id for left in await mlex.uploads()] == [upload.id]


async def test_a_piece_that_comes_twice_is_there_once_and_a_gap_is_a_conflict(mlex: Mlex, volume: Path) -> None:
    upload, content = await begun(mlex, volume), volume.read_bytes()
    await mlex.send_piece(upload.id, volume.name, 0, content[:1000])
    assert (await mlex.send_piece(upload.id, volume.name, 0, content[:1000])).received == 1000
    assert (await mlex.send_piece(upload.id, volume.name, 500, content[500:1500])).received == 1500
    with pytest.raises(Conflict, match="1500 bytes are here"):
        await mlex.send_piece(upload.id, volume.name, 1600, content[1600:])
    with pytest.raises(Invalid, match="beyond"):
        await mlex.send_piece(upload.id, volume.name, 1500, content)
    with pytest.raises(NotFound, match="no file"):
        await mlex.send_piece(upload.id, "other.npy", 0, b"")
    with pytest.raises(Conflict, match="1500 of"):
        await mlex.finish_upload(upload.id)
    await mlex.send_piece(upload.id, volume.name, 1500, content[1500:])
    assert (await mlex.finish_upload(upload.id)).name == "scan"


async def test_a_piece_that_waited_while_the_upload_was_finished_leaves_nothing_behind(
    mlex: Mlex, volume: Path
) -> None:
    upload, content = await begun(mlex, volume), volume.read_bytes()
    await mlex.send_piece(upload.id, volume.name, 0, content)
    place = mlex.all_uploads.coming / upload.id
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    late = asyncio.create_task(mlex.send_piece(upload.id, volume.name, 0, content))
    await asyncio.sleep(0.3)
    os.rename(place, place.with_name("elsewhere"))
    os.close(descriptor)
    with pytest.raises(NotFound):
        await late
    assert not place.exists()


async def test_many_senders_of_the_same_pieces_make_one_file(mlex: Mlex, volume: Path) -> None:
    upload, content = await begun(mlex, volume), volume.read_bytes()

    async def send() -> None:
        offset = 0
        while offset < len(content):
            sent = await mlex.send_piece(upload.id, volume.name, offset, content[offset : offset + 700])
            offset = max(offset + 700, sent.received)

    await asyncio.gather(*(send() for _ in range(4)))
    dataset, again = await asyncio.gather(*(mlex.finish_upload(upload.id) for _ in range(2)))
    assert again == dataset
    assert Path(dataset.uri).read_bytes() == content
    assert [found.id for found in await mlex.data()] == [dataset.id]


async def test_a_server_that_died_before_it_registered_goes_on(
    mlex: Mlex, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(mlex.catalog, "register", die)
        await mlex.upload(str(volume))
    (upload,) = await mlex.uploads()
    assert upload.received == upload.nbytes
    with pytest.raises(Conflict, match="already"):
        await mlex.discard_upload(upload.id)
    dataset = await mlex.upload(str(volume))
    assert upload.id in dataset.uri
    assert await mlex.uploads() == []


async def test_finishing_again_in_other_words_leaves_the_dataset_where_it_is(mlex: Mlex, volume: Path) -> None:
    dataset = await mlex.upload(str(volume))
    upload_id = Path(dataset.uri).parents[1].name
    with pytest.raises(Conflict):
        await mlex.finish_upload(upload_id, pixel_size=7.0)
    assert await mlex.finish_upload(upload_id) == dataset
    assert Path(dataset.uri).read_bytes() == volume.read_bytes()


async def test_what_is_no_volume_stays_an_upload_that_can_be_discarded(mlex: Mlex, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("it rained")
    with pytest.raises(Invalid, match="No reader"):
        await mlex.upload(str(path))
    (upload,) = await mlex.uploads()
    assert upload.received == 9
    await mlex.discard_upload(upload.id)
    assert await mlex.uploads() == []
    assert await mlex.data() == []
    assert list(mlex.settings.home.rglob("notes.txt")) == []


async def test_a_taken_name_leaves_the_upload_for_another(mlex: Mlex, volume: Path) -> None:
    await mlex.upload(str(volume), name="taken")
    np.save(volume, np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(Conflict, match="taken"):
        await mlex.upload(str(volume), name="taken")
    assert len(await mlex.uploads()) == 1


@pytest.mark.parametrize(
    "path",
    [
        "../x.npy",
        "/etc/x.npy",
        "a/../../x.npy",
        "a//x",
        "a\\x",
        "a\nx",
        "",
        "./x",
        "a/" * 40 + "x",
        "\ud800",
        "x" * 300,
    ],
)
async def test_a_path_that_leaves_the_upload_is_refused(mlex: Mlex, path: str) -> None:
    with pytest.raises(Invalid):
        await mlex.begin_upload("x", (checked(UploadFile, path=path, size=1),))


@pytest.mark.parametrize(
    "paths", [[], ["a", "a"], ["a/b", "a/b/c"], ["a/x", "b/x"]], ids=["none", "twice", "file and folder", "two tops"]
)
async def test_files_that_cannot_stand_together_are_refused(mlex: Mlex, paths: list[str]) -> None:
    with pytest.raises(Invalid):
        await mlex.begin_upload("x", tuple(UploadFile(path=path, size=1) for path in paths))


async def test_a_link_below_a_folder_is_not_uploaded(mlex: Mlex, tmp_path: Path) -> None:
    (tmp_path / "scan.zarr").mkdir()
    (tmp_path / "scan.zarr" / "zarr.json").symlink_to("/etc/passwd")
    with pytest.raises(Invalid, match="link"):
        await mlex.upload(str(tmp_path / "scan.zarr"))


async def test_more_than_there_is_room_for_is_refused_at_once(mlex: Mlex) -> None:
    with pytest.raises(Unavailable, match="are free"):
        await mlex.begin_upload("x", (UploadFile(path="x.npy", size=1 << 49),))
    assert await mlex.uploads() == []


@pytest.mark.parametrize("name", ["upload-../../x", "upload-x/..", "../upload-x", "", "upload-0\0"])
async def test_an_id_that_is_none_finds_nothing(mlex: Mlex, name: str) -> None:
    for ask in (mlex.upload_so_far, mlex.finish_upload, mlex.discard_upload):
        with pytest.raises(NotFound):
            await ask(name)


async def test_many_small_files_come_in_one_piece(mlex: Mlex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, int]] = []
    send = mlex.all_uploads.take

    async def note(upload_id: str, path: str, offset: int, piece: bytes | Piece, **more: bool) -> UploadFile:
        assert isinstance(piece, Piece)
        sent.append((path, piece.size))
        return await send(upload_id, path, offset, piece, **more)

    monkeypatch.setattr(mlex.all_uploads, "take", note)
    values = np.random.default_rng(0).integers(0, 99, (64, 16, 16), dtype="uint8")
    zarr.create_array(tmp_path / "scan.zarr", data=values, chunks=(1, 16, 16))
    (tmp_path / "scan.zarr" / "empty").touch()
    dataset = await mlex.upload(str(tmp_path / "scan.zarr"))
    here = {file.relative_to(tmp_path / "scan.zarr") for file in (tmp_path / "scan.zarr").rglob("*")}
    assert len(here) > 64
    assert {file.relative_to(dataset.uri) for file in Path(dataset.uri).rglob("*")} == here
    assert np.array_equal(np.asarray(zarr.open_array(dataset.uri)), values)
    assert len(sent) == 1


async def test_a_piece_goes_into_the_files_that_follow_only_when_it_says_so(mlex: Mlex) -> None:
    sizes = {"scan/a": 3, "scan/b": 0, "scan/c": 4}
    upload = await mlex.begin_upload("scan", tuple(UploadFile(path=path, size=size) for path, size in sizes.items()))
    with pytest.raises(Invalid, match="beyond"):
        await mlex.send_piece(upload.id, "scan/a", 0, b"aaacc")
    with pytest.raises(Invalid, match="beyond"):
        await mlex.send_piece(upload.id, "scan/a", 0, b"aaaccccd", following=True)
    assert (await mlex.upload_so_far(upload.id)).received == 0
    last = await mlex.send_piece(upload.id, "scan/a", 0, b"aaacc", following=True)
    assert (last.path, last.received) == ("scan/c", 2)
    last = await mlex.send_piece(upload.id, "scan/a", 2, b"?????", following=True)
    assert (last.path, last.received) == ("scan/c", 4), "what was there did not change"
    below = mlex.all_uploads.coming / upload.id / "files" / "scan"
    assert [(below / name).read_bytes() for name in "abc"] == [b"aaa", b"", b"cc??"]


async def test_what_nobody_sent_to_for_a_week_is_forgotten(mlex: Mlex, volume: Path) -> None:
    old = await begun(mlex, volume)
    then = time.time() - module.FORGOTTEN_S - 60
    for path in (mlex.all_uploads.coming / old.id).rglob("*"):
        os.utime(path, (then, then))
    os.utime(mlex.all_uploads.coming / old.id, (then, then))
    new = await begun(mlex, volume)
    assert [upload.id for upload in await mlex.uploads()] == [new.id]
