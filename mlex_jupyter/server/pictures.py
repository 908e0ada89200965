"""Pictures over HTTP: a slice of a dataset, and what a run shows of itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from pydantic_core import to_json

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.files import read_piece
from mlex_jupyter.server.http import Answer

PNG = "image/png"
BYTES = "application/octet-stream"
LARGEST = 1 << 25
DATASET = re.compile(r"/?datasets/([^/]+)/picture")
RASTER = re.compile(r"/?datasets/([^/]+)/raster")
DIFFERENCE = re.compile(r"/?datasets/([^/]+)/labels/([^/]+)/difference")
RUN = re.compile(r"/?jobs/([^/]+)/picture")


async def picture_of(mlex: Mlex, path: str, query: Mapping[str, Sequence[str]]) -> Answer | None:
    """The picture at this path, or None where the path is none of a picture."""
    if match := DATASET.fullmatch(path):
        return await _slice(mlex, unquote(match[1]), query)
    if match := RASTER.fullmatch(path):
        return await _raster(mlex, unquote(match[1]), query)
    if match := DIFFERENCE.fullmatch(path):
        return await _difference(mlex, unquote(match[1]), unquote(match[2]), query)
    if match := RUN.fullmatch(path):
        return await _of_run(mlex, unquote(match[1]), _number(query, "epoch"))
    return None


async def _slice(mlex: Mlex, name: str, query: Mapping[str, Sequence[str]]) -> Answer:
    dataset = await mlex.dataset(name)
    axis, index, size = (_number(query, name) for name in ("axis", "index", "size"))
    overlay = await mlex.label_sets.get(dataset.id, query["labels"][-1]) if "labels" in query else None
    pyramid = await mlex.displays.begin(dataset)
    png = await mlex.catalog.reading.picture(
        dataset, axis=axis or 0, index=index, size=512 if size is None else size, overlay=overlay, pyramid=pyramid
    )
    return Answer(200, png, PNG, cache_s=0 if overlay else 3600)


async def _raster(mlex: Mlex, name: str, query: Mapping[str, Sequence[str]]) -> Answer:
    dataset = await mlex.dataset(name)
    axis, index, size = (_number(query, name) for name in ("axis", "index", "size"))
    pyramid = await mlex.displays.begin(dataset)
    frame = await mlex.catalog.reading.raster(
        dataset, axis=axis or 0, index=index, size=1024 if size is None else size, pyramid=pyramid
    )
    return Answer(200, to_json(frame.said["found"]) + b"\n" + frame.data, BYTES, cache_s=300)


async def _difference(mlex: Mlex, data: str, labels: str, query: Mapping[str, Sequence[str]]) -> Answer:
    version, other, index, size = (_number(query, name) for name in ("version", "other", "index", "size"))
    if version is None:
        raise Invalid("version: the version to compare with.")
    png = await mlex.label_sets.difference(data, labels, version, other, index or 0, 512 if size is None else size)
    return Answer(200, png, PNG, cache_s=0 if other is None else 3600)


async def _of_run(mlex: Mlex, run: str, epoch: int | None) -> Answer:
    job = await mlex.job(run)
    folder = mlex.job_list.folder(job.id).path
    epochs = folder / "pictures"
    if epochs.is_symlink():
        raise NotFound(f"{job.name} keeps its pictures elsewhere.")
    if epoch is not None:
        wanted = [epochs / f"epoch-{epoch:04d}.png"]
    else:
        wanted = [folder / "picture.png", *sorted(epochs.glob("epoch-*.png"), reverse=True)[:1]]
    for file in wanted:
        _, picture, length = await asyncio.to_thread(read_piece, file, 0, LARGEST)
        if length and length == len(picture):
            return Answer(200, picture, PNG)
    raise NotFound(f"{job.name} has no picture yet.")


def _number(query: Mapping[str, Sequence[str]], name: str) -> int | None:
    if name not in query:
        return None
    text = query[name][-1]
    if not text.isdecimal() or len(text) > 9:
        raise Invalid(f"{name}: a number, not {text[:40]!r}.")
    return int(text)
