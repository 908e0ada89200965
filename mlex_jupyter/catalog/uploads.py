"""Uploads: files that come in pieces, go on where they stopped, and are a dataset only once they are whole.

<home>/uploads/<id>/upload.json   what is coming; written once
<home>/uploads/<id>/files/…       what is here: a file is only ever appended to, so its length says where to go on
<home>/data/<id>/…                the same folder under its last name, when all of it is durable
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlex_jupyter.catalog.datasets import Catalog
from mlex_jupyter.catalog.landing import COMING, Landing, alone
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, MlexError, NotFound, Unavailable
from mlex_jupyter.files import sync_folder, sync_tree, write_whole
from mlex_jupyter.pieces import LARGEST, PIECE, InMemory, Piece
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Dataset, Upload, UploadFile, checked, new_id, now

DONE = "uploaded.json"
MOST_FILES = 200_000
FORGOTTEN_S = 7 * 24 * 3600
SPARE = 1 << 28
"""Bytes that stay free on the disk whatever is uploaded."""


class Uploads:
    """The uploads of one home."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.catalog = catalog
        self.user = settings.user
        self.coming = settings.home / "uploads"
        self.data = settings.home / "data"
        self._finishing = asyncio.Lock()

    # ------------------------------------------------------------ begin, send, look

    async def begin(self, name: str, files: Sequence[UploadFile]) -> Upload:
        """Make room for these files. Nothing is here yet."""
        upload = checked(
            Upload,
            id=new_id("upload"),
            name=name,
            files=tuple(file.model_copy(update={"received": 0}) for file in files),
            nbytes=sum(file.size for file in files),
            received=0,
            owner=self.user,
            created=now(),
        )
        _check_paths(upload.files)
        return await asyncio.to_thread(self._begin, upload)

    def _begin(self, upload: Upload) -> Upload:
        self._forget_old()
        place = self.coming / upload.id
        (place / "files").mkdir(mode=0o700, parents=True)
        free = shutil.disk_usage(place).free
        if upload.nbytes > free - SPARE:
            shutil.rmtree(place)
            raise Unavailable(
                f"{upload.name} has {upload.nbytes / 1e9:.1f} GB, and {max(0, free - SPARE) / 1e9:.1f} GB are free.",
                hint="Free some space, or register the volume where it lies.",
            )
        write_whole(place / COMING, upload.model_dump_json())
        sync_folder(self.coming)
        return upload

    async def take(
        self, upload_id: str, path: str, offset: int, piece: bytes | Piece, *, following: bool = False
    ) -> UploadFile:
        """Append a piece. Of what is here already nothing changes; one that leaves a gap is a Conflict."""
        piece = InMemory(piece) if isinstance(piece, bytes) else piece
        if piece.size > LARGEST:
            raise Invalid(f"A piece has at most {LARGEST} bytes.", hint=f"{PIECE} are a good size.")
        landing = await asyncio.to_thread(self._landing, upload_id, path, offset, piece.size, following)
        while not await asyncio.to_thread(landing.take_in, piece):
            await piece.ready()
        return landing.last

    def _landing(self, upload_id: str, path: str, offset: int, size: int, following: bool) -> Landing:
        place = self._place(upload_id)
        upload, numbers = _announced(place)
        if path not in numbers:
            raise NotFound(f"The upload has no file {path[:200]!r}.")
        return Landing(place, upload.files[numbers[path] :], offset, size, following=following)

    async def on_their_way(self) -> list[Upload]:
        """What is on its way, the newest first."""
        return await asyncio.to_thread(self._list)

    def _list(self) -> list[Upload]:
        found = []
        places = [file.parent for folder in (self.coming, self.data) for file in folder.glob(f"upload-*/{COMING}")]
        for place in sorted(places, key=lambda place: place.name, reverse=True):
            with suppress(NotFound):  # discarded, or finished, since
                found.append(self._standing(place))
        return found

    async def get(self, upload_id: str) -> Upload:
        """How far an upload is, file by file."""
        return await asyncio.to_thread(lambda: self._standing(self._place(upload_id)))

    # ------------------------------------------------------------ the end

    async def finish(self, upload_id: str, **about: Any) -> Dataset:
        """Make a dataset of what is here; done again, it is the same dataset."""
        async with self._finishing:
            before = (self.coming / upload_id).exists()
            upload = await asyncio.to_thread(self._settle, upload_id)
            place = self.data / upload.id
            try:
                dataset = await self.catalog.register(str(_volume(place, upload)), name=upload.name, **about)
            except MlexError:  # no volume, a taken name: the upload is as it was before
                if before:
                    await asyncio.to_thread(os.rename, place, self.coming / upload.id)
                raise
            with suppress(FileNotFoundError):
                os.rename(place / COMING, place / DONE)
            return dataset

    def _settle(self, upload_id: str) -> Upload:
        """Give the folder its last name, once every byte is durable."""
        place = self._place(upload_id, finished=True)
        if place.parent == self.data:  # done before, or whoever did it did not come to its end
            return self._standing(place)
        with alone(place):
            upload = self._standing(place)
            missing = [file for file in upload.files if file.received != file.size]
            if missing:
                raise Conflict(
                    f"{len(missing)} of {len(upload.files)} files are not whole: {missing[0].path} has "
                    f"{missing[0].received} of {missing[0].size} bytes.",
                    hint="Send the rest, then finish.",
                )
            for file in upload.files:  # what is empty was never sent
                (place / "files" / file.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                (place / "files" / file.path).touch(mode=0o600)
            sync_tree(place)
            self.data.mkdir(mode=0o700, exist_ok=True)
            os.rename(place, self.data / place.name)
            sync_folder(self.data)
        return upload

    async def discard(self, upload_id: str) -> Upload:
        """Stop an upload, and remove what is here of it."""
        return await asyncio.to_thread(self._discard, upload_id)

    def _discard(self, upload_id: str) -> Upload:
        place = self._place(upload_id)
        upload = self._standing(place)
        if place.parent == self.data:
            raise Conflict("All of it is here already.", hint="Finish it; then forget the dataset if it is not wanted.")
        shutil.rmtree(place)
        return upload

    # ------------------------------------------------------------ the folder

    def _place(self, upload_id: str, *, finished: bool = False) -> Path:
        names = (COMING, DONE) if finished else (COMING,)
        places = [folder / upload_id for folder in (self.coming, self.data)] if _is_id(upload_id) else []
        place = next((place for place in places if any((place / name).is_file() for name in names)), None)
        if place is None:
            raise NotFound(f"There is no upload {upload_id[:80]!r} on its way.", hint="List them: mlex uploads")
        if _announced(place)[0].owner != self.user:
            raise Forbidden("This upload is somebody else's.")
        return place

    def _standing(self, place: Path) -> Upload:
        upload, _ = _announced(place)
        files = tuple(_received(place, file) for file in upload.files)
        return upload.model_copy(update={"files": files, "received": sum(file.received for file in files)})

    def _forget_old(self) -> None:
        """Remove what nobody has sent a piece of for a week."""
        for place in self.coming.glob("upload-*"):
            with suppress(FileNotFoundError):
                newest = max(path.stat().st_mtime for path in (place, *place.rglob("*")))
                if time.time() - newest > FORGOTTEN_S:
                    shutil.rmtree(place, ignore_errors=True)


def _announced(place: Path) -> tuple[Upload, Mapping[str, int]]:
    """What is coming, and the number of each file."""
    for file in (place / COMING, place / DONE):
        with suppress(FileNotFoundError, NotADirectoryError, ValidationError):
            return _parsed(file, file.stat().st_mtime_ns)
    raise NotFound(f"There is no upload {place.name} on its way.", hint="List them: mlex uploads")


@lru_cache(maxsize=2)
def _parsed(file: Path, _changed: int) -> tuple[Upload, Mapping[str, int]]:
    """Of a hundred thousand files it takes a while, and each piece asks."""
    upload = Upload.model_validate_json(file.read_bytes())
    return upload, {found.path: number for number, found in enumerate(upload.files)}


def _is_id(text: str) -> bool:
    return text.startswith("upload-") and text.isascii() and text.replace("-", "").isalnum() and len(text) < 64


def _check_paths(files: Sequence[UploadFile]) -> None:
    """Every file has a place of its own, which is no folder of another's."""
    if not files:
        raise Invalid("An upload has at least one file.")
    if len(files) > MOST_FILES:
        raise Invalid(
            f"An upload has at most {MOST_FILES} files, not {len(files)}.",
            hint="Store the volume in larger chunks or shards, or copy it there and register its path.",
        )
    paths = {file.path for file in files}
    folders = {folder for path in paths for folder in _above(path)}
    if len(paths) < len(files) or paths & folders:
        raise Invalid("Two files of the upload have the same place.")
    if len({path.split("/")[0] for path in paths}) > 1:
        raise Invalid("An upload is one file, or one folder with all that is in it.")


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _volume(place: Path, upload: Upload) -> Path:
    """What was uploaded: the file, or the folder."""
    return place / "files" / upload.files[0].path.split("/")[0]


def _received(place: Path, file: UploadFile) -> UploadFile:
    try:
        size = (place / "files" / file.path).lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        size = 0
    return file.model_copy(update={"received": min(size, file.size)})


def files_below(path: Path) -> list[UploadFile]:
    """A file, or all files of a folder, as an upload names them; links are refused."""
    if path.is_symlink() or not path.exists():
        raise Invalid(
            f"There is no file or folder {str(path)[:200]!r} to upload.", hint="Say its path on this machine."
        )
    found = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if not file.is_dir()]
    for file in found:
        if file.is_symlink() or not file.is_file():
            raise Invalid(f"{file} is a link or no plain file.", hint="Upload a folder of plain files.")
    below = path.parent
    return [
        checked(UploadFile, path=file.relative_to(below).as_posix(), size=stat.st_size, mark=str(stat.st_mtime_ns))
        for file, stat in ((file, file.stat()) for file in found)
    ]
