"""The process in which foreign files are opened: `python -m mlex_jupyter.data.readerprocess LIMITS`.

It answers one request at a time over its standard input and output, has limits, and knows no secrets. Whatever a file
does to the library that decodes it ends this process at the worst; see `reading` for the caller's side.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlex_jupyter.data.frames import Pipes
from mlex_jupyter.data.places import Policy, hold_to
from mlex_jupyter.data.sandbox import confine, connect_only_to
from mlex_jupyter.data.shelf import Shelf
from mlex_jupyter.errors import Invalid, MlexError

OPEN_FILES = 512
FIRST_TO_GO = "900"
"""Of 1000: where memory runs out, the system ends this process before a server or a kernel."""

Done = tuple[Mapping[str, Any], bytes | memoryview]
Work = Callable[[Shelf, Any], Iterator[Mapping[str, Any] | Done]]
"""Yields what it has done so far, so that it is known to be alive; in the end one pair: what it found, and bytes."""


def inspect(shelf: Shelf, asked: Any) -> Iterator[Done]:
    """What a file says about its volume."""
    from mlex_jupyter.data.readers import inspect_volume

    yield inspect_volume(asked["path"], asked["axes"]).model_dump(mode="json"), b""


def picture(shelf: Shelf, asked: Any) -> Iterator[Done]:
    """A slice as a PNG."""
    from mlex_jupyter.data.pictures import slice_png
    from mlex_jupyter.types import Dataset, LabelSet

    overlay = asked["overlay"] and LabelSet.model_validate(asked["overlay"])
    cut = {name: asked[name] for name in ("axis", "index", "size")}
    beside: dict[str, Any] = {"overlay": overlay, "pyramid": asked["pyramid"] and Path(asked["pyramid"])}
    yield {}, slice_png(Dataset.model_validate(asked["dataset"]), **cut, **beside, shelf=shelf)


def plane(shelf: Shelf, asked: Any) -> Iterator[Done]:
    """The values of one slice."""
    from mlex_jupyter.data.pictures import whole_plane
    from mlex_jupyter.types import Dataset

    values = whole_plane(Dataset.model_validate(asked["dataset"]), asked["axis"], asked["index"], shelf)
    yield {"shape": values.shape, "dtype": values.dtype.str}, values.data.cast("B")


def pyramid(shelf: Shelf, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """Write the display pyramid of a volume."""
    from mlex_jupyter.data.pyramid import build
    from mlex_jupyter.data.readers import open_volume
    from mlex_jupyter.types import Dataset

    dataset = Dataset.model_validate(asked["dataset"])
    with open_volume(dataset) as volume:
        levels = yield from build(volume, Path(asked["to"]), labels=bool(dataset.classes))
    yield {"levels": levels}, b""


def take_labels(shelf: Shelf, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """Copy the labels in a file to a folder of this home, and count them."""
    from mlex_jupyter.data.classnames import beside
    from mlex_jupyter.data.coco import copy_coco
    from mlex_jupyter.data.painted import check_labels, copy_labels
    from mlex_jupyter.data.places import located
    from mlex_jupyter.data.readers import open_path
    from mlex_jupyter.types import Dataset

    place, dataset, to = located(asked["path"]), Dataset.model_validate(asked["dataset"]), Path(asked["to"])
    if place.lower().endswith(".json"):
        painted, classes = yield from copy_coco(Path(place), dataset, to)
    else:
        with open_path(place) as volume:
            check_labels(volume, dataset)
            painted, classes = (yield from copy_labels(volume, to)), beside(Path(place))
    found = [[z, value, count] for (z, value), count in painted.items()]
    yield {"painted": found, "classes": [one.model_dump() for one in classes]}, b""


def quality(shelf: Shelf, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """What the values of a volume are like."""
    from mlex_jupyter.data.quality import examine
    from mlex_jupyter.data.readers import open_path, open_volume
    from mlex_jupyter.types import Dataset

    dataset, painted = Dataset.model_validate(asked["dataset"]), asked["painted"]
    with open_path(Path(dataset.uri), dataset.axes) if painted else open_volume(dataset) as volume:
        found = yield from examine(volume, dataset, asked["budget_bytes"], painted=painted)
    yield found.model_dump(mode="json"), b""


WORK: Mapping[str, Work] = {
    "inspect": inspect,
    "picture": picture,
    "pyramid": pyramid,
    "plane": plane,
    "quality": quality,
    "take_labels": take_labels,
}


def answer(shelf: Shelf, pipes: Pipes, asked: Mapping[str, Any], silence_s: float) -> None:
    """Do one request's work; whatever goes wrong is said in words."""
    try:
        for said in WORK[asked["do"]](shelf, asked):
            if isinstance(said, tuple):
                found, data = said
                pipes.send({"found": found}, data)
            else:
                _be_heard(silence_s)
                pipes.send({"so_far": said})
    except MlexError as error:
        pipes.send({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    except Exception as error:
        refused = in_words(error)
        pipes.send({"error": {"code": refused.code, "message": refused.message, "hint": refused.hint}})


def in_words(error: Exception) -> Invalid:
    """What no reader has put in words."""
    if isinstance(error, MemoryError):
        return Invalid("It needs more memory than may be used for it.", hint="See the setting reader_memory_gb.")
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return Invalid(f"It cannot be read: {type(error).__name__}: {first}", hint="The file may be damaged.")


def limit(memory_bytes: int, niceness: int) -> None:
    """Less memory and priority than the caller has, and no image of what was in it left on the disk.

    Mapped files are not memory: RLIMIT_DATA counts what is allocated, RLIMIT_AS would refuse every large volume.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if soft == resource.RLIM_INFINITY else min(OPEN_FILES, soft)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    os.nice(niceness)
    os.umask(0o077)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(FIRST_TO_GO)


def _be_heard(silence_s: float) -> None:
    """The alarm ends this process where its caller, which would have ended it before, is gone."""
    signal.setitimer(signal.ITIMER_REAL, silence_s * 1.5)


def main(said: str) -> int:
    """Answer until the caller is gone, within the limits that it says."""
    limits = json.loads(said)
    memory_bytes, silence_s = limits["memory_bytes"], limits["silence_s"]
    pipes = Pipes(os.dup(0), os.dup(1), limits["shared"], largest=memory_bytes)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what a library prints is no answer
    os.chdir("/")
    policy = Policy(*map(tuple, limits["policy"]))
    hold_to(policy)
    if limits["urls"]:
        connect_only_to(policy.hosts)
    limit(memory_bytes, limits["niceness"])
    confine(reads=policy.roots, writes=limits["writes"], urls=limits["urls"])
    shelf = Shelf()
    while True:
        try:
            asked = pipes.receive().said
            _be_heard(silence_s)
            answer(shelf, pipes, asked, silence_s)
        except (EOFError, BrokenPipeError):
            return 0
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
