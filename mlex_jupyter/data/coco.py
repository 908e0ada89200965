"""COCO: labels as JSON, an image for each slice with labels, an annotation for each class of it.

Run lengths keep every pixel. Polygons run along the edges of pixels and keep every pixel when they are read here; other
programs fill their holes. Of foreign files the last annotation wins where two overlap.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlex_jupyter.data.outlines import filled, outlines
from mlex_jupyter.data.painted import HIGHEST, create
from mlex_jupyter.data.rle import counts_in, counts_of, mask_of, text_of
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import ClassInfo, Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 1 << 28
"""Bytes of a file that is taken in."""
NUMBERED = re.compile(r"(\d{1,9})\D*$")
HINT = "COCO has images, categories and annotations; `mlex export-labels` writes an example."

# ---------------------------------------------------------------- writing


def lines(
    dataset: str, classes: Sequence[ClassInfo], slices: Iterator[tuple[int, NDArray[np.uint8]]], *, polygons: bool
) -> Iterator[str]:
    """The document, piece by piece, so that a large one needs no memory."""
    yield '{"info": {"description": ' + json.dumps(f"Labels of {dataset}") + '},\n"categories": '
    yield json.dumps([_category(one) for one in classes])
    images, number = [], 0
    yield ',\n"annotations": ['
    for z, labels in slices:
        height, width = labels.shape
        images.append(
            {"id": z + 1, "file_name": f"{dataset}-{z:05d}.png", "height": height, "width": width, "slice": z}
        )
        for one in classes:
            mask = labels == one.value
            if mask.any():
                number += 1
                yield (",\n" if number > 1 else "\n") + json.dumps(_annotation(number, z + 1, one, mask, polygons))
    yield '],\n"images": ' + json.dumps(images) + "}\n"


def _category(one: ClassInfo) -> dict[str, Any]:
    return {"id": one.value, "name": one.name, "supercategory": "", "color": [*bytes.fromhex(one.color[1:])]}


def _annotation(number: int, image: int, one: ClassInfo, mask: NDArray[np.bool_], polygons: bool) -> dict[str, Any]:
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    shape: Any
    if polygons:
        shape = [[side for point in ring for side in point] for ring in outlines(mask)]
    else:
        shape = {"size": list(mask.shape), "counts": text_of(counts_of(mask))}
    return {
        "id": number,
        "image_id": image,
        "category_id": one.value,
        "iscrowd": 0 if polygons else 1,
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "segmentation": shape,
    }


# ---------------------------------------------------------------- reading


def copy_coco(
    path: Path, dataset: Dataset, place: Path
) -> Generator[dict[str, int], None, tuple[Counter[tuple[int, int]], list[ClassInfo]]]:
    """Write a document's labels as a zarr of uint8, and count them; says each slice it has done."""
    import numpy as np

    document = _document(path)
    lengths = dict(zip(dataset.axes, dataset.shape, strict=True))
    depth, height, width = lengths.get("z", 1), lengths["y"], lengths["x"]
    values, classes = _classes(document)
    slices = _slices(document, depth, height, width)
    by_slice: dict[int, list[Mapping[str, Any]]] = {}
    for annotation in _records(document, "annotations"):
        z = slices.get(_whole(annotation, "image_id"))
        if z is None:
            raise Invalid(f"An annotation is of the image {annotation['image_id']}, which is not there.", hint=HINT)
        by_slice.setdefault(z, []).append(annotation)
    out = create(place, (depth, height, width))
    painted: Counter[tuple[int, int]] = Counter()
    for done, (z, its) in enumerate(sorted(by_slice.items())):
        labels = np.zeros((height, width), np.uint8)
        for annotation in its:
            value = values.get(_whole(annotation, "category_id"))
            if value is None:
                raise Invalid(f"An annotation has the category {annotation['category_id']}, which is not there.")
            labels[_mask(annotation.get("segmentation"), height, width)] = value
        if labels.any():
            out[z] = labels
        counts = np.bincount(labels.reshape(-1), minlength=HIGHEST + 1)
        painted.update({(z, int(value)): int(counts[value]) for value in np.flatnonzero(counts[1:]) + 1})
        yield {"done": done + 1, "of": len(by_slice)}
    return painted, classes


def _document(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > LARGEST:
        raise Invalid(f"{path} has more than {LARGEST >> 20} MB.", hint="Take it in in several pieces, or as zarr.")
    try:
        document = json.loads(path.read_bytes(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is not JSON: {str(error)[:200]}.") from error
    if not isinstance(document, dict):
        raise Invalid(f"{path} is not a COCO document.", hint=HINT)
    return document


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _records(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Invalid(f"The document has no {name}, or they are not a list of objects.", hint=HINT)
    return found


def _whole(record: Mapping[str, Any], name: str) -> int:
    value = record.get(name)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise Invalid(f"{name} = {repr(value)[:80]} is not a whole number.", hint=HINT)
    return value


def _classes(document: Mapping[str, Any]) -> tuple[dict[int, int], list[ClassInfo]]:
    """The value of each category, and the classes: ids are values where they can be, else they are counted."""
    categories = _records(document, "categories")
    ids = [_whole(one, "id") for one in categories]
    if len(set(ids)) < len(ids) or len(ids) > HIGHEST:
        raise Invalid(f"Two categories have one id, or there are more than {HIGHEST}.")
    fitting = all(1 <= one <= HIGHEST for one in ids)
    values = {one: one if fitting else place + 1 for place, one in enumerate(sorted(ids))}
    classes = []
    for record in categories:
        name, value = record.get("name"), values[record["id"]]
        if not isinstance(name, str):
            raise Invalid(f"The category {record['id']} has no name.", hint=HINT)
        classes.append(ClassInfo(value=value, name=name, color=_color(record.get("color"), value)))
    return values, classes


def _color(said: Any, value: int) -> str:
    if isinstance(said, str) and re.fullmatch("#[0-9a-fA-F]{6}", said):
        return said.lower()
    if isinstance(said, list) and len(said) == 3 and all(type(one) is int and 0 <= one < 256 for one in said):
        return "#" + bytes(said).hex()
    return "#" + bytes((value * step) % 256 for step in (97, 151, 211)).hex()


def _slices(document: Mapping[str, Any], depth: int, height: int, width: int) -> dict[int, int]:
    """The z of each image: as it says, else all in their order, else by the number in the file's name."""
    images = _records(document, "images")
    found: dict[int, int] = {}
    for place, image in enumerate(images):
        number = _whole(image, "id")
        if (_whole(image, "height"), _whole(image, "width")) != (height, width):
            raise Invalid(
                f"The image {number} has {image['height']} × {image['width']} pixels, a slice of the dataset "
                f"{height} × {width}."
            )
        if "slice" in image:
            z = _whole(image, "slice")
        elif len(images) == depth:
            z = place
        elif match := NUMBERED.search(str(image.get("file_name", ""))[-200:]):
            z = int(match[1])
        else:
            raise Invalid(f"It is not said which slice the image {number} is.", hint='Give it a field "slice".')
        if z >= depth or number in found:
            raise Invalid(f"The image {number} is of the slice {z}, or there twice; there are {depth} slices.")
        found[number] = z
    return found


def _mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    import numpy as np

    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if segmentation.get("size") != [height, width]:
            raise Invalid(f"A mask has the size {repr(segmentation.get('size'))[:80]}, a slice {[height, width]}.")
        if isinstance(counts, str):
            counts = counts_in(counts, height * width + 2)
        if not isinstance(counts, list):
            raise Invalid("A mask has no counts.", hint=HINT)
        return mask_of(counts, height, width)
    if not isinstance(segmentation, list) or not all(isinstance(ring, list) for ring in segmentation):
        raise Invalid("An annotation has neither run lengths nor polygons.", hint=HINT)
    rings = []
    for ring in segmentation:
        if len(ring) < 6 or len(ring) % 2 or not all(type(one) in (int, float) for one in ring):
            raise Invalid("A polygon is not a list of x, y, x, y, … of at least three points.", hint=HINT)
        if not all(math.isfinite(one) and abs(one) < 1 << 31 for one in ring):
            raise Invalid("A polygon has a coordinate that is no place.", hint=HINT)
        rings.append(np.array(ring, np.float64).reshape(-1, 2))
    return filled(rings, height, width)
