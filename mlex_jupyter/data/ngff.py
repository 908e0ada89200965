"""Zarr arrays, and OME-NGFF images (0.1 to 0.5): a group whose `multiscales` say which array is the finest."""

from __future__ import annotations

from typing import Any

from mlex_jupyter.data.units import short_unit
from mlex_jupyter.data.volume import SPACE, Volume
from mlex_jupyter.errors import Invalid

LISTED = 12


def open_zarr(uri: str, axes: str | None) -> Volume:
    """The array at this path, or the finest level of the image there."""
    import zarr

    from mlex_jupyter.data.bloscguard import GuardedStore

    # A store of our own making: zarr would read "::" in a plain path as a chain of remote file systems.
    node = zarr.open(GuardedStore(uri, read_only=True), mode="r")
    if isinstance(node, zarr.Array):
        return _volume(node, uri, axes, _dimension_names(node), {}, None)
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
    return _volume(array, uri, axes, letters, scales, units.get("x"))


def _volume(
    array: Any, uri: str, axes: str | None, said: str | None, scales: dict[str, float], unit: str | None
) -> Volume:
    from mlex_jupyter.data.bloscguard import guarded

    sizes = {axis: float(size) for axis, size in scales.items() if axis in SPACE and size > 0}
    said = said if said and len(said) == array.ndim else None
    return Volume(
        guarded(array, uri),
        uri=uri,
        reader="zarr",
        said_axes=said,
        axes=axes,
        chunks=array.chunks,
        pixel_sizes=sizes,
        pixel_unit=short_unit(unit),
    )


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

    members = group.members(max_depth=3)
    inside = sorted(f"{name} {member.shape}" for name, member in members if isinstance(member, zarr.Array))
    if not inside:
        return Invalid(f"{uri} is a zarr group without arrays.")
    more = f" and {len(inside) - LISTED} more" if len(inside) > LISTED else ""
    return Invalid(
        f"{uri} is a zarr group, not one volume. Inside are: {', '.join(inside[:LISTED])}{more}.",
        hint=f"Say the array's own path, such as {uri.rstrip('/')}/{inside[0].split(' ')[0]}.",
    )
