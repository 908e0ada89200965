"""A file is whole or not there at all, whatever happens while it is written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlex_jupyter import files
from mlex_jupyter.errors import Conflict
from mlex_jupyter.files import create_exclusively, file_system, on_network, sync_tree, whole_file, write_whole
from tests.engine import answer, fill, python, small_disk


def test_what_is_written_replaces_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "state.json"
    for content in ("first", b"second", "Grüße"):
        write_whole(place, content)
        assert place.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    place = tmp_path / "state.json"
    write_whole(place, b"0" * 200_000)
    stop = threading.Event()

    def write() -> None:
        for number in range(1, 60):
            write_whole(place, str(number % 10).encode() * 200_000, durable=False)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not stop.is_set():
        content = place.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1
        seen.add(content[0])
    writer.join()
    assert len(seen) > 1


@pytest.mark.needs("mount")
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        place, other = disk / "state.json", disk / "weights"
        write_whole(place, "as it was")
        fill(disk)
        with pytest.raises(OSError, match="No space left"):
            write_whole(place, b"x" * 100_000)
        with pytest.raises(OSError, match="No space left"), whole_file(other) as beside:
            beside.write_bytes(b"x" * 100_000)
        assert place.read_text() == "as it was"
        assert sorted(file.name for file in disk.iterdir()) == ["filler", "state.json"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    place = tmp_path / "weights"
    write_whole(place, "as it was")
    with pytest.raises(ZeroDivisionError), whole_file(place) as beside:
        beside.write_text("half of it")
        raise ZeroDivisionError
    assert place.read_text() == "as it was"
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]


def test_a_block_that_ends_well_puts_its_file_in_place(tmp_path: Path) -> None:
    place = tmp_path / "weights"
    with whole_file(place) as beside:
        beside.write_text("all of it")
        assert not place.exists()
    assert place.read_text() == "all of it"


def test_of_many_processes_that_create_a_file_one_succeeds(tmp_path: Path) -> None:
    program = """
import json, sys, time
from pathlib import Path
from mlex_jupyter.errors import Conflict
from mlex_jupyter.files import create_exclusively
print("ready", flush=True); sys.stdin.readline()
try:
    create_exclusively(Path(sys.argv[1]), sys.argv[2])
except Conflict:
    print(json.dumps(False))
else:
    print(json.dumps(True))
"""
    processes = [python(program, tmp_path / "claim", number, stdin=-1) for number in range(5)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [answer(process) for process in processes]
    assert sum(won) == 1
    assert (tmp_path / "claim").read_text() == str(won.index(True))


def test_a_taken_file_is_a_conflict_and_stays_as_it_is(tmp_path: Path) -> None:
    create_exclusively(tmp_path / "claim", "mine")
    with pytest.raises(Conflict, match="claim is taken already"):
        create_exclusively(tmp_path / "claim", "yours")
    assert (tmp_path / "claim").read_text() == "mine"
    assert (tmp_path / "claim").stat().st_mode & 0o777 == 0o600


def test_a_tree_is_synced_to_its_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    names = [tmp_path / "x", tmp_path / "a" / "y", tmp_path / "a" / "b" / "z"]
    for name in names:
        name.write_text("…")
    synced: list[str] = []
    really = files.os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(files.os.readlink(f"/proc/self/fd/{descriptor}"))
        really(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    sync_tree(tmp_path)
    assert {*map(str, names), str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} == set(synced)
    assert synced[-1] == str(tmp_path), "a folder comes after what is in it"


def test_the_kernel_says_which_file_system_it_is() -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert not on_network(Path("/proc/self"))


@pytest.mark.needs("mount")
def test_a_mount_with_a_space_in_its_name_is_found(tmp_path: Path) -> None:
    with small_disk(tmp_path / "beam time", 1) as disk:
        (disk / "home").mkdir()
        assert file_system(disk / "home") == "tmpfs"


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "9p", "virtiofs", "afs"),
        *("fuse", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse", "fuse.rclone", "fuse.s3fs", "fuse.juicefs"),
    ],
)
def test_what_other_hosts_share_is_a_network_file_system(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "file_system", lambda path: kind)
    assert on_network(Path("/anywhere"))


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "overlay", "tmpfs", "btrfs", "zfs", "fuseblk", "fuse.fuse-overlayfs", ""]
)
def test_a_disk_of_this_host_is_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "file_system", lambda path: kind)
    assert not on_network(Path("/anywhere"))
