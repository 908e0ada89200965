"""Files inside of a folder: opened only where they really lie in it, whatever links say, and only plain files."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from mlex_jupyter.errors import Invalid


def elsewhere(path: str, root: str) -> Invalid:
    """What is said of a part of a volume that lies outside of it."""
    return Invalid(
        f"{root} points elsewhere: {os.path.relpath(path, root)!r} is not in that folder.",
        hint="Copy the volume with its links resolved (cp -rL), and say the copy's path.",
    )


def check_inside(path: str, root: str) -> None:
    """Invalid where this is no plain file, or lies outside of the folder, which has no links in its own path.

    Where there is nothing, nothing is wrong.
    """
    if not _within(os.path.realpath(path), root):
        raise elsewhere(path, root)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        kind = os.stat(path).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise Invalid(f"{path} is not a plain file.")


@contextlib.contextmanager
def opened_inside(path: str, root: str) -> Iterator[int | None]:
    """A descriptor to read a file of this folder from, or None where there is none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: that alone moves a tape, and waits for a pipe
            raise Invalid(f"{path} is not a plain file.")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise elsewhere(path, root) from None
        yield None
        return
    except PermissionError:  # a reader is kept from what lies outside of the folders that are allowed
        if not _within(os.path.realpath(path), root):
            raise elsewhere(path, root) from None
        raise
    try:
        if not _within(os.readlink(f"/proc/self/fd/{descriptor}"), root):
            raise elsewhere(path, root)
        yield descriptor
    finally:
        os.close(descriptor)


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
