"""Files that are whole or not there at all: written beside their place, fsynced, renamed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from mlex_jupyter.errors import Conflict


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make a folder and all that is in it durable."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(root))


def _beside(path: Path) -> Path:
    """A name of one's own: two threads, or two machines that share a folder, must not write into one file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")


def write_whole(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Replace a file by this content, or leave it as it was."""
    data = content.encode() if isinstance(content, str) else content
    beside = _beside(path)
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends well."""
    beside = _beside(path)
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_piece(path: Path, offset: int, size: int) -> tuple[int, bytes, int]:
    """Where a piece of a file begins, the piece, and how long the file is; a negative offset counts from the end.

    Others write these files: where there is none, or a link, a pipe or a folder in its place, it is as if it were
    empty, and nothing waits.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return 0, b"", 0
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0, b"", 0
    try:
        length = os.fstat(descriptor).st_size
        begin = min(offset, length) if offset >= 0 else max(0, length + offset)
        return begin, os.pread(descriptor, size, begin), length
    finally:
        os.close(descriptor)


def create_exclusively(path: Path, content: str) -> None:
    """Create a file that must not exist yet: of many who try, one succeeds."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(f"{path.name} is taken already.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


NETWORK_FILE_SYSTEMS = (
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "fuse",
    "gfs",
    "gpfs",
    "lustre",
    "mmfs",
    "nfs",
    "ocfs2",
    "orangefs",
    "panfs",
    "pvfs2",
    "smb",
    "vboxsf",
    "virtiofs",
    "wekafs",
)
"""How the kernel's names of those begin that other hosts may share."""
LOCAL_FUSE = ("fuseblk", "fusectl", "fuse.fuse-overlayfs", "fuse.lxcfs")
"""What FUSE makes of this machine's own disks; all else of it (sshfs, rclone, glusterfs, s3fs) may be shared."""
ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system(path: Path) -> str:
    """The type of the file system that holds a path, as the kernel names it; "" where it does not say."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape")
    except FileNotFoundError:
        return kind
    place = str(path.resolve())
    for line in mounts.splitlines():
        _, mount, found, *_ = line.split(" ")
        mount = ESCAPED.sub(lambda escaped: chr(int(escaped[1], 8)), mount)
        if (place == mount or place.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def on_network(path: Path) -> bool:
    """Whether a path lies on a file system that other hosts may share: there SQLite's WAL breaks."""
    kind = file_system(path)
    return kind.startswith(NETWORK_FILE_SYSTEMS) and not kind.startswith(LOCAL_FUSE)
