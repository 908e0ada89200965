"""A corpus of hostile files, folders and names, made by programs; nothing of it is kept.

Each family yields what to call a case, and the path or URL that somebody asks for. Two things lie about: a canary,
which must not appear (somebody's code would have made it), and secrets, whose marks must not be shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

MARK = bytes([0xA7, 0x5E, 0xC3, 0x91])
"""What a secret is full of."""


class Case(NamedTuple):
    """What is asked for, and what it is called."""

    name: str
    uri: str


class Ground(NamedTuple):
    """Where the corpus is made."""

    folder: Path
    outside: Path
    """Of the secrets."""
    canary: Path
    """A file that nobody makes."""

    def place(self, name: str) -> Path:
        """A new path with this name, in a folder of its own."""
        here = self.folder / f"{len(os.listdir(self.folder)):04d}"
        here.mkdir()
        return here / name


class Harm:
    """A pickle that makes the canary once it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.canary}'",)


def ground(folder: Path) -> Ground:
    """An empty place, with secrets beside it, in every format."""
    import tifffile
    import zarr

    made = Ground(folder / "corpus", folder / "outside", folder / "canary")
    made.folder.mkdir()
    made.outside.mkdir()
    secret = np.frombuffer(MARK * (4 * 32 * 32 // 4), np.uint8).reshape(4, 32, 32)
    np.save(made.outside / "secret.npy", secret)
    (made.outside / "secret.raw").write_bytes(secret.tobytes())
    zarr.create_array(made.outside / "secret.zarr", data=secret, chunks=(1, 32, 32), compressors=None)
    tifffile.imwrite(made.outside / "secret.tif", secret, photometric="minisblack")
    return made


Cases = Iterator[Case]
