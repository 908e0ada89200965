"""Digests of what lies at a place: SHA-256 of a file as `sha256sum` says it; of a folder, of a list of its files.

    size TAB sha256 TAB path below the folder NEWLINE        in the order of the paths

so that a copy of a zarr folder or a stack has the same checksum wherever it lies. Of what lies in S3 nothing is read:
it is the SHA-256 of such a list too, with the ETag that the service says of each object in place of its digest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlex_jupyter.data.inside import opened_inside
from mlex_jupyter.data.marks import files_of
from mlex_jupyter.data.places import is_url, split
from mlex_jupyter.errors import Invalid, NotFound

AT_ONCE = 1 << 22
ALGORITHM, OF_ETAGS = "sha256", "sha256-of-etags"
BUCKET = "s3://"
WHOLE = "."
"""The path of a dataset that is one file."""


class Part(NamedTuple):
    """One file."""

    size: int
    digest: str


Contents = Mapping[str, Part]
"""By the path below the folder."""
Said = Callable[[int], None]
"""Hears of so many bytes more; what it raises ends the work."""


def places_of(uri: str) -> dict[str, str]:
    """The files that hold a dataset, by the path below the folder."""
    if is_url(uri):
        raise Invalid(
            f"{uri} is a URL, and its server says nothing by which its values could be told from others: neither"
            " checksums nor times.",
            hint="Only its shape and type are compared, whenever it is opened. Copy it here to verify it.",
        )
    file, _ = split(uri)
    found = list(files_of(file))
    if not found:
        raise NotFound(f"There is nothing at {file}.", hint="Was it moved? Register it where it lies now.")
    if found == [file]:
        return {WHOLE: file}
    root = file if os.path.isdir(file) else os.path.dirname(file)
    return {os.path.relpath(path, root): path for path in found}


def size_of(places: Mapping[str, str]) -> int:
    """How many bytes there are to read."""
    return sum(os.stat(path).st_size for path in places.values() if os.path.isfile(path))


def contents_of(places: Mapping[str, str], said: Said) -> Contents:
    """Read everything, and digest each file."""
    return {name: _part(path, name, said) for name, path in places.items()}


def checksum_of(contents: Contents, algorithm: str = ALGORITHM) -> str:
    """One checksum of it all."""
    if contents.keys() == {WHOLE}:
        return f"{algorithm}:{contents[WHOLE].digest}"
    lines = (f"{part.size}\t{part.digest}\t{name}\n" for name, part in sorted(contents.items()))
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode(errors="surrogateescape"))
    return f"{algorithm}:{digest.hexdigest()}"


def algorithm_of(uri: str) -> str:
    """What the checksum of a dataset is of."""
    return OF_ETAGS if uri.startswith(BUCKET) else ALGORITHM


def difference(before: Contents, after: Contents) -> dict[str, list[str]]:
    """The paths that changed, are missing or are new."""
    return {
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
        "missing": sorted(before.keys() - after.keys()),
        "added": sorted(after.keys() - before.keys()),
    }


def _part(path: str, name: str, said: Said) -> Part:
    """A file's size and digest; a link is followed where it leads to a plain file beside it."""
    place = os.path.realpath(path) if name == WHOLE else path
    root = os.path.dirname(place) if name == WHOLE else os.path.realpath(path[: -len(name)])
    digest, size = hashlib.sha256(), 0
    with opened_inside(place, root) as descriptor:
        if descriptor is None:
            raise NotFound(f"{path} went away while it was read.", hint="Is somebody writing there? Try again.")
        while piece := os.read(descriptor, AT_ONCE):
            digest.update(piece)
            size += len(piece)
            said(len(piece))
    return Part(size, digest.hexdigest())
