"""What HDF5 files say about their arrays by the conventions of NeXus, Data Exchange and Fiji."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlex_jupyter.data.units import short_unit
from mlex_jupyter.data.volume import SPACE
from mlex_jupyter.errors import Invalid

LETTERS = {*"tczyx"}
DEFAULTS = 8
"""Steps of NeXus's `default` from the file to the data."""
LONGEST = 1 << 20
EVEN = 1e-3
"""Positions whose steps differ by no more than this part are evenly spaced."""

At = Callable[[str], Any]
"""What is at a place of the file, by links that stay in it."""


def link_of(node: Any, name: str) -> Any:
    """The link of this name in a group, or None. h5py's own `in` and `get` follow it, into whatever file it names."""
    import h5py

    key = name.encode(errors="surrogateescape")
    if not isinstance(node, h5py.Group) or not node.id.links.exists(key):
        return None
    kind = node.id.links.get_info(key).type
    if kind == h5py.h5l.TYPE_HARD:
        return h5py.HardLink()
    target = node.id.links.get_val(key)
    if kind == h5py.h5l.TYPE_SOFT:
        return h5py.SoftLink(target.decode(errors="surrogateescape"))
    if kind == h5py.h5l.TYPE_EXTERNAL:
        return h5py.ExternalLink(*(part.decode(errors="replace") for part in target))
    raise Invalid(f"{name!r} is a link of an unknown kind.")


def text(node: Any, name: str) -> str | None:
    """An attribute that is a word."""
    found = node.attrs.get(name)
    if hasattr(found, "shape") and found.size == 1:
        found = found.ravel()[0]
    if isinstance(found, bytes):
        found = found.decode(errors="replace")
    return found if isinstance(found, str) else None


def words(node: Any, name: str) -> list[str]:
    """An attribute that is a list of words, also where it is one text `y:x`."""
    found = node.attrs.get(name)
    if hasattr(found, "tolist") and getattr(found, "ndim", 0) == 1:
        return [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in found.tolist()]
    one = text(node, name)
    return one.split(":") if one else []


def signal_of(group: Any, at: At) -> str | None:
    """The place of what NeXus calls the signal: where `default` leads from this group on."""
    for _ in range(DEFAULTS):
        if signal := text(group, "signal"):
            return f"{group.name.rstrip('/')}/{signal}"
        default = text(group, "default")
        if not default:
            return None
        group = at(default if default.startswith("/") else f"{group.name.rstrip('/')}/{default}")
    return None


def said_axes(array: Any, parent: Any) -> str | None:
    """The letters of the dimensions, where the file names them by our letters."""
    labels = [dimension.label for dimension in array.dims]
    for names in (labels, words(array, "axes"), words(parent, "axes")):
        letters = "".join(names).lower()
        if len(names) == array.ndim and all(len(name) == 1 for name in names) and set(letters) <= LETTERS:
            return letters
    return None


def pixels_of(array: Any, parent: Any, at: At) -> tuple[dict[str, float], str | None]:
    """The pixel sizes by axis and their unit: `element_size_um` in the order z, y, x, or NeXus's positions."""
    said = array.attrs.get("element_size_um")
    if said is not None and getattr(said, "shape", ()) == (len(SPACE),) and said.dtype.kind in "iuf":
        return dict(zip(SPACE, map(float, said), strict=True)), "µm"
    steps = {axis: _step(parent, axis, at) for axis in words(parent, "axes") if axis in {*SPACE}}
    known = {axis: step for axis, step in steps.items() if step is not None}
    units = {unit for _, unit in known.values()}
    if len(units) != 1:
        return {}, None
    return {axis: size for axis, (size, _) in known.items()}, short_unit(units.pop())


def _step(parent: Any, axis: str, at: At) -> tuple[float, str] | None:
    """How far two positions along an axis lie apart, and in which unit; None where they are not evenly spaced."""
    if link_of(parent, axis) is None:
        return None
    positions = at(f"{parent.name}/{axis}")
    unit = text(positions, "units")
    if getattr(positions, "ndim", 0) != 1 or not 2 <= len(positions) <= LONGEST or positions.dtype.kind not in "iuf":
        return None
    if unit is None or positions.is_virtual or positions.external:
        return None
    first, second, last = (float(positions[place]) for place in (0, 1, len(positions) - 1))
    step = (last - first) / (len(positions) - 1)
    return (abs(step), unit) if step and abs(second - first - step) <= EVEN * abs(step) else None
