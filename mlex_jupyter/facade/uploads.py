"""Uploads: bring a volume to where the engine is, in pieces that survive a lost connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.pieces import InFiles, Piece, divided
from mlex_jupyter.telling import tell
from mlex_jupyter.types import Dataset, Upload, UploadFile
from mlex_jupyter.verbs import verb


class UploadVerbs(Parts):
    """What can be done with uploads."""

    @verb()
    async def upload(
        self,
        path: str,
        *,
        name: str | None = None,
        axes: str | None = None,
        pixel_size: float | None = None,
        pixel_unit: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> Dataset:
        """Copy a volume to the engine's home and register it; done again after a break, it goes on."""
        from mlex_jupyter.catalog.card import name_from
        from mlex_jupyter.catalog.uploads import files_below

        place = Path(path).expanduser().absolute()
        files = await asyncio.to_thread(files_below, place)
        name = name or name_from(str(place))
        upload = await self._begun_before(name, files) or await self.begin_upload(name, tuple(files))
        received = upload.received
        for stretches in divided([(file.size, file.received) for file in upload.files]):
            first, offset, _ = stretches[0]
            piece = InFiles([(place.parent / upload.files[file].path, at, size) for file, at, size in stretches])
            following = {"following": True} if len(stretches) > 1 else {}  # a server of before knows no such word
            await self.send_piece(upload.id, upload.files[first].path, offset, piece, **following)
            received += piece.size
            tell(f"uploaded {received / 1e6:,.0f} of {upload.nbytes / 1e6:,.0f} MB")
        return await self.finish_upload(upload.id, axes=axes, pixel_size=pixel_size, pixel_unit=pixel_unit, tags=tags)

    async def _begun_before(self, name: str, files: list[UploadFile]) -> Upload | None:
        """An upload of the same files under the same name that did not come to its end."""
        asked = [file.model_copy(update={"received": 0}) for file in files]
        for upload in await self.uploads():
            if upload.name == name and [file.model_copy(update={"received": 0}) for file in upload.files] == asked:
                return upload
        return None

    @verb("POST", "/uploads", status=201, shell=False)
    async def begin_upload(self, name: str, files: tuple[UploadFile, ...]) -> Upload:
        """Say which files will come; their pieces are sent one by one."""
        return await self.all_uploads.begin(name, files)

    @verb("GET", "/uploads")
    async def uploads(self) -> list[Upload]:
        """List the uploads that are on their way."""
        return await self.all_uploads.on_their_way()

    @verb("GET", "/uploads/{upload}", shell=False)
    async def upload_so_far(self, upload: str) -> Upload:
        """Say how far an upload is: where to go on, file by file."""
        return await self.all_uploads.get(upload)

    @verb("POST", "/uploads/{upload}/pieces", body="piece", shell=False)
    async def send_piece(
        self, upload: str, path: str, offset: int, piece: bytes | Piece, *, following: bool = False
    ) -> UploadFile:
        """Append a piece to a file; what is there already does not change."""
        return await self.all_uploads.take(upload, path, offset, piece, following=following)

    @verb("POST", "/uploads/{upload}/finish", status=201, shell=False)
    async def finish_upload(
        self,
        upload: str,
        *,
        axes: str | None = None,
        pixel_size: float | None = None,
        pixel_unit: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> Dataset:
        """Make a dataset of an upload that is whole."""
        about = {"axes": axes, "pixel_size": pixel_size, "pixel_unit": pixel_unit, "tags": tags}
        dataset = await self.all_uploads.finish(upload, **about)
        await self.tell_rules()
        return dataset

    @verb("POST", "/uploads/{upload}/discard")
    async def discard_upload(self, upload: str) -> Upload:
        """Stop an upload and remove what is there of it."""
        return await self.all_uploads.discard(upload)
