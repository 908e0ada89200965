"""HDF5: an array inside a file, `scan.h5::/entry/data`; where nothing is said inside, the one that can be meant.

What can be meant is, in this order: what NeXus or Data Exchange call the data, the only array, the one that is ten
times as large as all others together. What lies in other files is refused before it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlex_jupyter.data.extras import needed
from mlex_jupyter.data.hdf5said import link_of, pixels_of, said_axes, signal_of
from mlex_jupyter.data.places import INSIDE, split
from mlex_jupyter.data.readers import opened
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ENDINGS = (".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".nx5")
EXCHANGE = "exchange/data"
HOPS = 16
"""Soft links in a row before they are taken for a circle."""
DEPTH = 12
OBJECTS = 5000
LISTED = 12
MOST = 10
"""So many times as large as all others together is the array that is meant."""


class Hdf5Reader:
    """HDF5, NeXus and Data Exchange."""

    name = "hdf5"

    def opens(self, uri: str) -> bool:
        """By the ending, else by the first bytes."""
        file = Path(split(uri)[0])
        if not file.is_file():
            return False
        if file.suffix.lower() in ENDINGS:
            return True
        with suppress(OSError), open(file, "rb") as start:
            return start.read(len(SIGNATURE)) == SIGNATURE
        return False

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Open the array; its chunks are read when asked for."""
        return opened(open_hdf5, uri, axes)


def open_hdf5(uri: str, axes: str | None) -> Volume:
    """The array at this place."""
    h5py = needed("hdf5")
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  its import makes further compressions known

    path, inside = split(uri)
    file = _opened_file(h5py, path)
    try:
        inside, found = _at(file, inside)
        if isinstance(found, h5py.Group):
            inside, found = _meant(found, inside, path)
        dataset = _checked(h5py, found, f"{path}{INSIDE}{inside}")
        parent = _at(file, inside.rpartition("/")[0])[1]
        sizes, unit = pixels_of(dataset, parent, lambda place: _at(file, place)[1])
        return Volume(
            dataset,
            uri=f"{path}{INSIDE}{inside}",
            reader="hdf5",
            said_axes=said_axes(dataset, parent),
            axes=axes,
            chunks=dataset.chunks,
            pixel_sizes=sizes,
            pixel_unit=unit,
            close=file.close,
        )
    except BaseException:
        file.close()
        raise


def _opened_file(h5py: Any, path: str) -> Any:
    """The file, without a lock once it is known that nobody writes: who acquires data must not be kept from it."""
    try:
        h5py.File(path, "r").close()
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "already open" in str(error):  # by a writer that lets others read what is there so far
            with suppress(OSError):
                return h5py.File(path, "r", swmr=True)
        elif "lock" not in str(error):
            raise
    raise Invalid(
        f"{path} is open for writing in another program.",
        hint="Wait until it is closed there. If the writer was killed, `h5clear -s` mends the file.",
    )


# ---------------------------------------------------------------- the way inside


def _at(file: Any, place: str) -> tuple[str, Any]:
    """What is at a place of the file, and its plain path: links are followed one by one, and only within the file."""
    import h5py

    ahead, node, hops = _parts(place), file["/"], 0
    way: list[str] = []
    while ahead:
        name = ahead.pop(0)
        link = link_of(node, name)
        where = f"{file.filename}{INSIDE}/{'/'.join([*way, name])}"
        if link is None:
            raise Invalid(f"There is no {where}.", hint=_beside(node, way))
        if isinstance(link, h5py.ExternalLink):
            raise _elsewhere(where, f"a link to {link.path} in {link.filename}")
        if isinstance(link, h5py.SoftLink):
            hops += 1
            if hops > HOPS:
                raise Invalid(f"{where} is a link that leads in a circle.")
            absolute = link.path.startswith("/")
            ahead = ([] if absolute else list(way)) + _parts(link.path) + ahead
            node, way = file["/"], []
            continue
        node = node[name]
        way.append(name)
    return "/" + "/".join(way), node


def _parts(place: str) -> list[str]:
    return [part for part in place.split("/") if part not in ("", ".")]


def _beside(node: Any, way: list[str]) -> str:
    names = sorted(node)[:LISTED] if hasattr(node, "keys") else []
    return f"In /{'/'.join(way)} there are: {', '.join(names) or 'no parts'}."


def _checked(h5py: Any, found: Any, where: str) -> Any:
    """The dataset, where its values lie in this file and can be decoded."""
    if not isinstance(found, h5py.Dataset):
        raise Invalid(f"{where} is not an array.")
    if found.is_virtual:
        raise _elsewhere(where, "a virtual dataset over other files")
    if found.external:
        raise _elsewhere(where, f"stored in the file {found.external[0][0]}")
    made = found.id.get_create_plist()
    for number in range(made.get_nfilters()):
        code, _, _, name = made.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise Invalid(
                f"{where} is compressed with {name.decode(errors='replace') or 'a filter'} ({code}), unknown here.",
                hint="pip install hdf5plugin",
            )
    return found


def _elsewhere(where: str, how: str) -> Invalid:
    return Invalid(
        f"{where} is {how}; only values in the file itself are read.", hint="Say the place of those values instead."
    )


# ---------------------------------------------------------------- what can be meant


def _meant(group: Any, way: str, path: str) -> tuple[str, Any]:
    """The array that a person means who says the group only."""
    file = group.file
    signal = signal_of(group, lambda place: _at(file, place)[1])
    if signal is not None:
        return _at(file, signal)
    with suppress(Invalid):
        return _at(file, f"{way}/{EXCHANGE}")
    arrays = sorted(_arrays(group), key=lambda array: (-array.size, array.name))
    others = sum(array.size for array in arrays[1:])
    if arrays and arrays[0].size >= MOST * others:
        return arrays[0].name, arrays[0]
    if not arrays:
        raise Invalid(f"{path} has no array of real numbers with two dimensions or more in {way}.")
    listed = ", ".join(f"{array.name} {array.shape}" for array in arrays[:LISTED])
    more = f" and {len(arrays) - LISTED} more" if len(arrays) > LISTED else ""
    raise Invalid(f"{path} holds several arrays: {listed}{more}.", hint=f"Say which: {path}{INSIDE}{arrays[0].name}")


def _arrays(top: Any) -> Iterator[Any]:
    """The arrays below a group that could be a volume. Only hard links are followed, each object once."""
    import h5py

    seen: set[Any] = set()
    ahead = [(top, 0)]
    while ahead and len(seen) < OBJECTS:
        group, depth = ahead.pop()
        for name in group:
            if not isinstance(link_of(group, name), h5py.HardLink):
                continue
            with suppress(KeyError, OSError, ValueError, TypeError):  # a damaged or a strange part is no array
                node = group[name]
                address = h5py.h5o.get_info(node.id).addr
                if address in seen or len(seen) >= OBJECTS:
                    continue
                seen.add(address)
                if isinstance(node, h5py.Group) and depth < DEPTH:
                    ahead.append((node, depth + 1))
                elif isinstance(node, h5py.Dataset) and _suits(node):
                    yield node


def _suits(array: Any) -> bool:
    """Whether this could be a volume, from what is known without reading it."""
    if array.shape is None or len(array.shape) < 2 or math.prod(array.shape) == 0:
        return False
    return array.dtype.kind in "buif" and not array.is_virtual and not array.external
