"""Blobs: artifacts by what is in them. The same bytes have one address and are kept once.

<home>/blobs/sha256/ab/abcdef…      the blob `sha256:abcdef…`; whole or not there
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.files import whole_file
from mlex_jupyter.settings import Settings

REF = re.compile(r"sha256:[0-9a-f]{64}")


class Blobs:
    """The artifacts of one home."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "blobs"

    def put(self, file: Path) -> str:
        """Take a copy of a file, and say its address; done again, it changes nothing. A full disk is an OSError."""
        try:
            ref = digest(file)
        except FileNotFoundError:
            raise NotFound(f"There is no file {str(file)!r} to keep.") from None
        place = self._place(ref)
        if place.exists() and digest(place) == ref:
            return ref
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file(place) as beside:
            shutil.copyfile(file, beside)
            if digest(beside) != ref:
                raise Conflict(f"{file} changed while it was copied.", hint="Do it again when it is at rest.")
        return ref

    def path(self, ref: str) -> Path:
        """The file with this content."""
        place = self._place(ref)
        if not place.is_file():
            raise NotFound(f"The artifact {ref} is not here.", hint="It was removed, or this home is another one.")
        return place

    def verify(self, ref: str) -> None:
        """An error where the content is no longer what the address says."""
        if digest(self.path(ref)) != ref:
            raise Invalid(
                f"The artifact {ref} is damaged.",
                hint=f"Publish it again, or restore {self._place(ref)} from backup.",
            )

    def _place(self, ref: str) -> Path:
        if not REF.fullmatch(ref):
            raise Invalid(f"{ref[:100]!r} is no artifact's address.", hint="It looks like sha256: and 64 digits.")
        name = ref.removeprefix("sha256:")
        return self.folder / "sha256" / name[:2] / name


def digest(file: Path) -> str:
    """The address of a file's content, read piece by piece."""
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
