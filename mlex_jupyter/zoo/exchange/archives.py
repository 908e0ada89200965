"""A foreign zip file, opened without trust: no names that lead elsewhere, no links, nothing that swells."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from mlex_jupyter.data.places import Policy
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.settings import Settings

FILES = 1000
WHOLE_BYTES = 8 << 30
TEXT_BYTES = 1 << 20
SWELLS = 200
"""Nothing that is worth keeping becomes so many times larger."""
PIECE = 1 << 20


def local_file(path: str, settings: Settings, *, there: bool = True) -> Path:
    """An absolute path that this home may open, or write to; a link that is written to stays what it is."""
    if "\0" in path or "://" in path:
        raise Invalid(f"{path[:200]!r} is no path of a file here.", hint="Download it first.")
    given = os.path.expanduser(path)
    real = Path(os.path.realpath(given))
    Policy.of(settings).check(real)
    if not there and os.path.islink(given):
        return Path(os.path.realpath(os.path.dirname(given)), os.path.basename(given))
    if there and not real.is_file():
        raise NotFound(f"There is no file {path[:200]!r}.")
    return real


class Archive:
    """The files of a zip, by their names."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self._zip = opened
        found = [info for info in opened.infolist() if not info.is_dir()]
        if len(found) > FILES:
            raise Invalid(f"The package holds {len(found)} files; at most {FILES} are taken.")
        self.sizes = {_name(info): info.file_size for info in found}
        if len(self.sizes) < len(found):
            raise Invalid("The package holds two files of one name.")
        packed = sum(info.compress_size for info in found)
        whole = sum(self.sizes.values())
        if whole > WHOLE_BYTES or whole > SWELLS * max(packed, PIECE):
            raise Invalid(f"The package would become {whole / 1e9:.1f} GB; that is more than is taken.")

    def text(self, name: str) -> str:
        """A small file's text."""
        if self.sizes[name] > TEXT_BYTES:
            raise Invalid(f"{name} is too long: a description has at most {TEXT_BYTES >> 20} MB.")
        with self._open(name) as file:
            content = file.read(TEXT_BYTES + 1)
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise Invalid(f"{name} is no text.") from None

    def extract(self, name: str, to: Path) -> None:
        """Copy one file, and not a byte more than the archive says that it has."""
        if name not in self.sizes:
            raise NotFound(f"The package holds no {name[:200]!r}.")
        left = self.sizes[name]
        with self._open(name) as file, to.open("xb") as out:
            while piece := file.read(PIECE):
                left -= len(piece)
                if left < 0:
                    raise Invalid(f"{name} is longer than the package says.")
                out.write(piece)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._zip.open(name) as file:
                yield file
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            raise Invalid(f"{name} cannot be read from the package: {error}.") from error


def _name(info: zipfile.ZipInfo) -> str:
    name = info.filename
    parts = PurePosixPath(name).parts
    if "\\" in name or "\0" in name or name.startswith("/") or ".." in parts or ":" in parts[0]:
        raise Invalid(f"The package names a file outside of itself: {name[:200]!r}.")
    if info.flag_bits & 1:
        raise Invalid("The package is encrypted.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise Invalid(f"{name[:200]!r} in the package is a link or a device.")
    return name


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """A zip file to read from."""
    try:
        with zipfile.ZipFile(path) as found:
            yield Archive(found)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise Invalid(f"{path.name} is no zip file that can be read.") from error
