"""A mark of what lies at a place: sizes and times, which change when the content does. No file is opened for it."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from hashlib import blake2b

from mlex_jupyter.data.places import is_pattern, is_url, split


def mark_of(uri: str) -> str | None:
    """The mark of a file, a folder or the files of a pattern; None where nothing says, as for a URL."""
    if is_url(uri):
        return None
    digest = blake2b(digest_size=16)
    for path in files_of(split(uri)[0]):
        status = os.lstat(path)
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def files_of(path: str) -> Iterator[str]:
    """All that belongs to it, in an order that is always the same."""
    if os.path.isdir(path):
        for folder, inside, names in os.walk(path):
            inside.sort()
            yield from (os.path.join(folder, name) for name in sorted(names))
    elif os.path.exists(path):
        yield path
    elif is_pattern(path):
        yield from sorted(glob.glob(path))
