"""TIFF stacks: the first series of the file, mapped where its pixels lie in a row, else read page by page."""

from __future__ import annotations

import itertools
import re
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlex_jupyter.data.units import short_unit
from mlex_jupyter.data.volume import Source, Volume
from mlex_jupyter.errors import Invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPageSeries

LETTERS = {"Z": "z", "C": "c", "S": "c", "Y": "y", "X": "x", "T": "t"}
FILE_NAME = re.compile(r"""FileName\s*=\s*["']([^"']*)""")
RESOLUTION_UNITS = {2: ("µm", 25_400.0), 3: ("µm", 10_000.0)}


def open_tiff(uri: str, axes: str | None) -> Volume:
    """The first series of a file."""
    import tifffile

    file = tifffile.TiffFile(uri, _multifile=False)  # OME may name other files, wherever they are
    try:
        series = file.series[0]
        if series.is_multifile or _names_others(file, series):
            raise Invalid(
                f"{uri} says that some of its pixels are in other files, which are not opened.",
                hint="Write the image as one file, or as OME-Zarr.",
            )
        if _ends_early(file) or _lacks_pixels(series, uri):
            raise Invalid(f"{uri} ends before its pixels do: it is cut off.", hint="Copy it again.")
        plain = series.dataoffset is not None and series.keyframe.is_final
        source: Source = tifffile.memmap(uri, series=0, mode="r") if plain else Pages(series)
        sizes, unit = _pixels(file, series)
        return Volume(
            source,
            uri=uri,
            reader="tiff",
            said_axes=_letters(series.axes),
            axes=axes,
            chunks=None if plain else Pages.chunks(series),
            pixel_sizes=sizes,
            pixel_unit=short_unit(unit),
            close=file.close,
        )
    except BaseException:
        file.close()
        raise


def _letters(axes: str) -> str | None:
    """Our letters for TIFF's; pages that nobody named (Q, I) are slices."""
    letters = "".join(LETTERS.get(letter, "z") for letter in axes)
    return letters if len(set(letters)) == len(letters) else None


class Pages:
    """A series whose pages are decoded one by one, so that a slice costs one page and not the file."""

    def __init__(self, series: TiffPageSeries) -> None:
        self.shape: tuple[int, ...] = tuple(series.shape)
        self.dtype = series.dtype
        self._series = series
        self._page_shape: tuple[int, ...] = tuple(series.keyframe.shape)
        self._stacked = len(self.shape) - len(_squeezed(self._page_shape, self.shape))
        self._lock = threading.Lock()  # one file handle, one position

    @staticmethod
    def chunks(series: TiffPageSeries) -> tuple[int, ...]:
        """What is read at once: a page."""
        page = _squeezed(tuple(series.keyframe.shape), tuple(series.shape))
        return (1,) * (len(series.shape) - len(page)) + page

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Decode the pages that the piece touches, one at a time."""
        import numpy as np

        outer, inner = index[: self._stacked], index[self._stacked :]
        places = [range(*item.indices(length)) for item, length in zip(outer, self.shape, strict=False)]
        out = np.empty([len(range(*item.indices(n))) for item, n in zip(index, self.shape, strict=True)], self.dtype)
        stack, page_shape = self.shape[: self._stacked], self.shape[self._stacked :]
        for to, place in enumerate(itertools.product(*places)):
            number = int(np.ravel_multi_index(place, stack)) if place else 0
            target = np.unravel_index(to, out.shape[: self._stacked]) if place else ()
            out[target] = self._page(number).reshape(page_shape)[inner]
        return out

    def _page(self, number: int) -> NDArray[Any]:
        with self._lock:
            page: Any = self._series.pages[number]
            if page is None:
                raise Invalid(f"Page {number} of the file is missing.")
            return page.asarray()  # type: ignore[no-any-return]


def _squeezed(page: tuple[int, ...], whole: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions of the whole that one page fills: tifffile leaves out lengths of 1."""
    for count in range(1, len(whole) + 1):
        if _product(whole[-count:]) == _product(page):
            return whole[-count:]
    raise Invalid(f"The pages of shape {page} do not make up the image of shape {whole}.")


def _product(lengths: tuple[int, ...]) -> int:
    result = 1
    for length in lengths:
        result *= length
    return result


def _names_others(file: TiffFile, series: TiffPageSeries) -> bool:
    """Whether OME's metadata are about several files: then tifffile has passed them over."""
    if not file.is_ome or series.kind == "ome":
        return False
    return any(name.lower() != file.filename.lower() for name in FILE_NAME.findall(file.ome_metadata or ""))


def _ends_early(file: TiffFile) -> bool:
    """Whether the last page found says that there is another: tifffile only leaves that one out."""
    kind, handle = file.tiff, file.filehandle
    offset = file.pages[len(file.pages) - 1].offset
    handle.seek(offset)
    (tags,) = struct.unpack(kind.tagnoformat, handle.read(kind.tagnosize))
    handle.seek(offset + kind.tagnosize + tags * kind.tagsize)
    (following,) = struct.unpack(kind.offsetformat, handle.read(kind.offsetsize))
    return bool(following)


def _lacks_pixels(series: TiffPageSeries, uri: str) -> bool:
    """Whether the pixels of a page would lie behind the end of the file."""
    size = Path(uri).stat().st_size
    plain = series.dataoffset is not None and series.dataoffset + series.nbytes > size
    return plain or any(
        offset + count > size
        for page in series.pages
        if page is not None
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )


def _pixels(file: TiffFile, series: TiffPageSeries) -> tuple[dict[str, float], str | None]:
    """The pixel sizes by axis, and their unit, where OME, ImageJ or the resolution tags say them."""
    if file.is_ome:
        return _ome_pixels(file.ome_metadata or "")
    imagej = file.imagej_metadata or {}
    tags = series.keyframe.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return {}, None
    if file.is_imagej:
        unit, factor = short_unit(imagej.get("unit")), 1.0
    else:
        unit, factor = RESOLUTION_UNITS.get(int(tags.valueof("ResolutionUnit", 1)), (None, 1.0))
    if unit is None:
        return {}, None
    sizes = {axis: _per_unit(tags.valueof(f"{axis.upper()}Resolution")) * factor for axis in "yx"}
    sizes |= {"z": float(imagej["spacing"])} if imagej.get("spacing") else {}
    return {axis: size for axis, size in sizes.items() if size > 0}, unit


def _per_unit(resolution: tuple[int, int]) -> float:
    pixels, units = resolution
    return units / pixels if pixels else 0.0


def _ome_pixels(xml: str) -> tuple[dict[str, float], str | None]:
    """`PhysicalSizeX` and its like, of the first image."""
    import tifffile

    image: Any = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    sizes = {axis: float(pixels.get(f"PhysicalSize{axis.upper()}", 0)) for axis in "zyx"}
    units = {pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm") for axis, size in sizes.items() if size > 0}
    if len(units) != 1:
        return {}, None
    return {axis: size for axis, size in sizes.items() if size > 0}, str(units.pop())
