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

from mlex_jupyter.data.ahead import Ahead, Done
from mlex_jupyter.data.frames import Pipes
from mlex_jupyter.data.places import Policy, hold_to
from mlex_jupyter.data.sandbox import confine, connect_only_to
from mlex_jupyter.data.shelf import Shelf
from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.types import Dataset

OPEN_FILES = 512
FIRST_TO_GO = "900"
"""Of 1000: where memory runs out, the system ends this process before a server or a kernel."""


class Desk:
    """What a request's work has at hand."""

    def __init__(self, pipes: Pipes) -> None:
        self.shelf = Shelf()
        self._pipes = pipes
        self._known: tuple[Any, Dataset] | None = None

    def dataset(self, asked: Any) -> Dataset:
        """The dataset that is asked about; mostly it is the last one again."""
        said = asked["dataset"]
        if self._known is None or self._known[0] != said:
            self._known = said, Dataset.model_validate(said)
        return self._known[1]

    def room(self) -> memoryview:
        """Where the bytes of the answer may be put, so that they need not be copied there."""
        return self._pipes.room()


Work = Callable[[Desk, Any], Iterator[Mapping[str, Any] | Done]]
"""Yields what it has done so far, so that it is known to be alive; in the end one pair: what it found, and bytes."""


def inspect(desk: Desk, asked: Any) -> Iterator[Done]:
    """What a file says about its volume."""
    from mlex_jupyter.data.readers import inspect_volume

    yield inspect_volume(asked["path"], asked["axes"]).model_dump(mode="json"), b""


def picture(desk: Desk, asked: Any) -> Iterator[Done]:
    """A slice as a PNG."""
    from mlex_jupyter.data.pictures import slice_png
    from mlex_jupyter.types import LabelSet

    overlay = asked["overlay"] and LabelSet.model_validate(asked["overlay"])
    cut = {name: asked[name] for name in ("axis", "index", "size")}
    beside: dict[str, Any] = {"overlay": overlay, "pyramid": asked["pyramid"] and Path(asked["pyramid"])}
    yield {}, slice_png(desk.dataset(asked), **cut, **beside, shelf=desk.shelf)


def raster(desk: Desk, asked: Any) -> Iterator[Done]:
    """A slice as numbers for a screen."""
    from mlex_jupyter.data.raster import raster

    pyramid = asked["pyramid"] and Path(asked["pyramid"])
    yield raster(desk.dataset(asked), asked["axis"], asked["index"], asked["size"], pyramid, desk.shelf)


def plane(desk: Desk, asked: Any) -> Iterator[Done]:
    """The values of one slice."""
    from mlex_jupyter.data.pictures import whole_plane
    from mlex_jupyter.data.volume import beginning_of

    dataset, empty = desk.dataset(asked), beginning_of(desk.room())
    values = whole_plane(dataset, asked["axis"], asked["index"], desk.shelf, empty)
    yield {"shape": values.shape, "dtype": values.dtype.str}, values.data.cast("B")


def pyramid(desk: Desk, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """Write the display pyramid of a volume."""
    from mlex_jupyter.data.pyramid import build
    from mlex_jupyter.data.readers import open_volume

    dataset = desk.dataset(asked)
    with open_volume(dataset) as volume:
        levels = yield from build(volume, Path(asked["to"]), labels=bool(dataset.classes))
    yield {"levels": levels}, b""


def take_labels(desk: Desk, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """Copy the labels in a file to a folder of this home, and count them."""
    from mlex_jupyter.data.classnames import beside
    from mlex_jupyter.data.coco import copy_coco
    from mlex_jupyter.data.painted import check_labels, copy_labels
    from mlex_jupyter.data.places import located
    from mlex_jupyter.data.readers import open_path

    place, dataset, to = located(asked["path"]), desk.dataset(asked), Path(asked["to"])
    if place.lower().endswith(".json"):
        painted, classes = yield from copy_coco(Path(place), dataset, to)
    else:
        with open_path(place) as volume:
            check_labels(volume, dataset)
            painted, classes = (yield from copy_labels(volume, to)), beside(Path(place))
    found = [[z, value, count] for (z, value), count in painted.items()]
    yield {"painted": found, "classes": [one.model_dump() for one in classes]}, b""


def quality(desk: Desk, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """What the values of a volume are like."""
    from mlex_jupyter.data.quality import examine
    from mlex_jupyter.data.readers import open_path, open_volume

    dataset, painted = desk.dataset(asked), asked["painted"]
    with open_path(Path(dataset.uri), dataset.axes) if painted else open_volume(dataset) as volume:
        found = yield from examine(volume, dataset, asked["budget_bytes"], painted=painted)
    yield found.model_dump(mode="json"), b""


def listing(desk: Desk, asked: Any) -> Iterator[Mapping[str, Any] | Done]:
    """Which objects of a service hold a volume: key, size and ETag of each."""
    from mlex_jupyter.data import s3
    from mlex_jupyter.data.places import located

    found: list[tuple[str, int, str]] = []
    for some in s3.listing(located(asked["path"])):
        found += some
        yield {"done": len(found)}
    yield {"objects": found}, b""


WORK: Mapping[str, Work] = {
    "inspect": inspect,
    "listing": listing,
    "picture": picture,
    "pyramid": pyramid,
    "plane": plane,
    "quality": quality,
    "raster": raster,
    "take_labels": take_labels,
}


class Reader:
    """Answers requests, one at a time."""

    def __init__(self, pipes: Pipes, silence_s: float) -> None:
        self._pipes = pipes
        self._silence_s = silence_s
        self._desk = Desk(pipes)
        self._ahead = Ahead()

    def answer(self) -> None:
        """Do the next request's work; whatever goes wrong is said in words. Then read on where somebody will ask."""
        asked = self._pipes.receive().said
        self._be_heard()
        try:
            found, data = self._ahead.answer(asked, self._done)
            self._pipes.send({"found": found, "ahead": self._ahead.goes_on}, data)
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            said = error if isinstance(error, MlexError) else in_words(error)
            self._pipes.send({"error": {"code": said.code, "message": said.message, "hint": said.hint}})
        if self._ahead.goes_on and not self._pipes.waiting():
            self._ahead.go_on(self._done)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _done(self, asked: Mapping[str, Any]) -> Done:
        for said in WORK[asked["do"]](self._desk, asked):
            if isinstance(said, tuple):
                return said
            self._be_heard()
            self._pipes.send({"so_far": said})
        raise AssertionError("work ends with what it found")

    def _be_heard(self) -> None:
        """The alarm ends this process where its caller, which would have ended it before, is gone."""
        signal.setitimer(signal.ITIMER_REAL, self._silence_s * 1.5)


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
    reader = Reader(pipes, silence_s)
    while True:
        try:
            reader.answer()
        except (EOFError, BrokenPipeError):
            return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
