"""Tiled: an array that a Tiled server keeps, by its URL; each slice is asked for when it is read.

Its URL is what the pages or the API of the server show, or `tiled+https://host/path/of/the/array`. A key comes from
TILED_API_KEY; without one the server is asked anonymously.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from mlex_jupyter.data.extras import needed
from mlex_jupyter.data.readers import opened
from mlex_jupyter.data.units import short_unit
from mlex_jupyter.data.volume import SPACE, Volume
from mlex_jupyter.errors import Invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX = "tiled+"
API = "/api/v1"
PAGES = "/ui/browse"
LETTERS = {*"tczyx"}
LISTED = 12
AT_ONCE = 64 << 20
"""Bytes that one request asks for at most."""


class TiledReader:
    """Arrays of a Tiled server."""

    name = "tiled"
    schemes = ("tiled+http", "tiled+https", "http", "https")

    def opens(self, uri: str) -> bool:
        """By the scheme, or by the path that every Tiled server has."""
        web = uri.startswith(("http://", "https://")) and (f"{API}/" in uri or f"{PAGES}/" in uri)
        return web or uri.startswith((f"{PREFIX}http://", f"{PREFIX}https://"))

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Ask the server what the array is."""
        return opened(open_tiled, uri, axes)


def open_tiled(uri: str, axes: str | None) -> Volume:
    """The array at this URL."""
    client = needed("tiled", "tiled.client")
    asked = metadata_url(uri)
    node = _asked(client, asked, uri)
    if not (hasattr(node, "dtype") and hasattr(node, "chunks")):
        raise _no_array(node, uri)
    if urlsplit(where := node.item["links"]["full"]).netloc != urlsplit(asked).netloc:
        raise Invalid(f"{uri} sends its readers to another host: {where[:200]}.")
    sizes, unit = _pixels(node.metadata)
    return Volume(
        Served(node),
        uri=uri,
        reader="tiled",
        said_axes=_letters(node.dims or node.metadata.get("axes"), len(node.shape)),
        axes=axes,
        chunks=tuple(int(lengths[0]) for lengths in node.chunks),
        pixel_sizes=sizes,
        pixel_unit=unit,
        close=node.context.close,
    )


def _asked(client: Any, url: str, uri: str) -> Any:
    """What is at this URL, or in words why it is not given."""
    try:
        return client.from_uri(url)
    except httpx.TransportError as error:
        raise Invalid(f"{urlsplit(url).netloc} does not answer: {str(error)[:200]}", hint="Is it online?") from error
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise _needs_key(uri) from error
        if error.response.status_code == 404:
            raise Invalid(f"There is no {uri}.", hint="Look for it in the pages of the server.") from error
        raise
    except RuntimeError as error:  # so says the client where a server asks for a login
        if "authentication" in str(error):
            raise _needs_key(uri) from error
        raise


def _needs_key(uri: str) -> Invalid:
    return Invalid(f"{uri} may not be read without a key, or not with this one.", hint="Set TILED_API_KEY.")


def metadata_url(uri: str) -> str:
    """What the client takes: `…/api/v1/metadata/a/b`, from what people copy."""
    url = uri.removeprefix(PREFIX).rstrip("/")
    host, _, path = url.removeprefix("https://").removeprefix("http://").partition("/")
    base = f"{url.partition('://')[0]}://{host}"
    for mark in (f"{API}/metadata", f"{API}/array/full", f"{API}/array/block", PAGES):
        before, found, after = f"/{path}".partition(mark)
        if found:
            return f"{base}{before}{API}/metadata{after.partition('?')[0]}"
    return url if API in url else f"{base}{API}/metadata/{path}".rstrip("/")


class Served:
    """An array of the server: of what is asked for, no more is sent."""

    def __init__(self, node: Any) -> None:
        self.shape: tuple[int, ...] = tuple(int(length) for length in node.shape)
        self.dtype = node.dtype
        self._node = node

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Ask for a piece, in several requests where it is large."""
        import numpy as np

        lengths = [len(range(*item.indices(length))) for item, length in zip(index, self.shape, strict=True)]
        out = np.empty(lengths, self.dtype)
        if not out.size:
            return out
        first = range(*index[0].indices(self.shape[0]))
        at_once = max(1, AT_ONCE // max(1, math.prod(lengths[1:]) * self.dtype.itemsize))
        for start in range(0, len(first), at_once):
            part = first[start : start + at_once]
            out[start : start + len(part)] = self._node.read((slice(part[0], part[-1] + 1, part.step), *index[1:]))
        return out


def _letters(names: Any, ndim: int) -> str | None:
    """The letters of the dimensions, where the server names them by our letters."""
    if not names or len(names) != ndim or not all(isinstance(name, str) and name.lower() in LETTERS for name in names):
        return None
    return "".join(names).lower()


def _pixels(metadata: Any) -> tuple[dict[str, float], str | None]:
    """`pixel_size` (one number, or one for each of z, y and x) and `pixel_unit` of the array's metadata."""
    size, unit = metadata.get("pixel_size"), metadata.get("pixel_unit")
    each = [size] * len(SPACE) if isinstance(size, int | float) else list(size or ())
    if len(each) != len(SPACE) or not all(isinstance(one, int | float) and one > 0 for one in each):
        return {}, None
    return dict(zip(SPACE, map(float, each), strict=True)), short_unit(unit if isinstance(unit, str) else None)


def _no_array(node: Any, uri: str) -> Invalid:
    """A container is not a volume: say what is inside."""
    if not hasattr(node, "keys"):
        return Invalid(f"{uri} is no array but {type(node).__name__}.")
    inside = list(node.keys().head(LISTED))
    if not inside:
        return Invalid(f"{uri} is an empty container.")
    hint = f"Say the array's own path, such as {uri.rstrip('/')}/{inside[0]}"
    return Invalid(f"{uri} is a container, not one array. Inside are: {', '.join(inside)}.", hint=hint)
