"""Zarr arrays, and OME-NGFF images (0.1 to 0.5): a group whose `multiscales` say which array is the finest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlex_jupyter.data.units import short_unit
from mlex_jupyter.data.volume import SPACE, Source, Volume
from mlex_jupyter.errors import Invalid

LISTED = 12


def open_zarr(uri: str, axes: str | None) -> Volume:
    """The array at this path, or the finest level of the image there."""
    from mlex_jupyter.data.bloscguard import GuardedStore, guarded

    # A store of our own making: zarr would read "::" in a plain path as a chain of remote file systems.
    return volume_in(GuardedStore(uri, read_only=True), uri, axes, reader="zarr", source=guarded)


def volume_in(store: Any, uri: str, axes: str | None, *, reader: str, source: Callable[[Any, str], Source]) -> Volume:
    """The array in a store, or the finest level of the image there; `source` is what its values are read with."""
    import zarr

    array, letters, scales, unit = _described(zarr.open(store, mode="r"), uri)
    sizes = {axis: float(size) for axis, size in scales.items() if axis in SPACE and size > 0}
    return Volume(
        source(array, uri),
        uri=uri,
        reader=reader,
        said_axes=letters if letters and len(letters) == array.ndim else None,
        axes=axes,
        chunks=array.chunks,
        pixel_sizes=sizes,
        pixel_unit=short_unit(unit),
    )


def _described(node: Any, uri: str) -> tuple[Any, str | None, dict[str, float], str | None]:
    """An array, and what is said of it: letters, pixel sizes by axis, their unit."""
    import zarr

    if isinstance(node, zarr.Array):
        return node, _dimension_names(node), {}, None
    image = _multiscales(node.attrs.asdict())
    if image is None:
        raise _no_image(node, uri)
    level = image["datasets"][0]
    array = node[level["path"]]
    if not isinstance(array, zarr.Array):
        raise Invalid(f"{uri} says that its finest level is {level['path']!r}, but that is no array.")
    said = [axis if isinstance(axis, str) else axis["name"] for axis in image.get("axes", [])]
    letters = "".join(said) if said and all(len(axis) == 1 for axis in said) else None
    units = {axis["name"]: axis.get("unit") for axis in image.get("axes", []) if isinstance(axis, dict)}
    scales = dict(zip(said, _scale(level), strict=False)) if units.get("x") else {}
    return array, letters, scales, units.get("x")


def _dimension_names(array: Any) -> str | None:
    """What a v3 array, or xarray in a v2 one, calls its dimensions, where those are our letters."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not names or not all(isinstance(name, str) and name.lower() in {*"tczyx"} for name in names):
        return None
    return "".join(names)


def _multiscales(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The first image of a group: under `ome` since 0.5, plain before."""
    ome = attributes.get("ome")
    images = (ome if isinstance(ome, dict) else attributes).get("multiscales")
    return images[0] if images else None


def _scale(level: dict[str, Any]) -> list[float]:
    """The pixel sizes of a level, an axis each."""
    steps = level.get("coordinateTransformations", [])
    return next((step["scale"] for step in steps if step.get("type") == "scale"), [])


def _no_image(group: Any, uri: str) -> Invalid:
    """A group is not a volume: say which arrays are inside."""
    import zarr

    members = dict(group.members(max_depth=3))
    images = sorted(
        name
        for name, member in members.items()
        if isinstance(member, zarr.Group) and _multiscales(member.attrs.asdict())
    )
    if images:  # the levels inside an image are not listed one by one
        return Invalid(
            f"{uri} holds several images: {', '.join(images[:LISTED])}.",
            hint=f"Say which: {uri.rstrip('/')}/{images[0]}",
        )
    inside = sorted(f"{name} {member.shape}" for name, member in members.items() if isinstance(member, zarr.Array))
    if not inside:
        return Invalid(f"{uri} is a zarr group without arrays.")
    more = f" and {len(inside) - LISTED} more" if len(inside) > LISTED else ""
    return Invalid(
        f"{uri} is a zarr group, not one volume. Inside are: {', '.join(inside[:LISTED])}{more}.",
        hint=f"Say the array's own path, such as {uri.rstrip('/')}/{inside[0].split(' ')[0]}.",
    )
