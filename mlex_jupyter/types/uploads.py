"""Uploads: files that come in pieces."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mlex_jupyter.types.base import Name, Record, Time

DEEPEST = 32


def _inside(path: str) -> str:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(ord(sign) < 32 or sign == "\\" for sign in path):
        raise ValueError("say a path inside the upload, as `scan.zarr/0/c/1`")
    if len(parts) > DEEPEST or any(len(part.encode(errors="surrogatepass")) > 255 for part in parts):
        raise ValueError(f"a path has at most {DEEPEST} parts, each of at most 255 bytes")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character is no name") from None
    return path


class UploadFile(Record):
    """One file of an upload."""

    path: Annotated[str, AfterValidator(_inside)] = Field(max_length=4096)
    """Its place inside the upload; a single file's is its name."""
    size: int = Field(ge=0, le=1 << 50)
    mark: str = Field("", max_length=200)
    """The sender's word for this content, such as its time of change: with another mark it is another file."""
    received: int = Field(0, ge=0)
    """Bytes that are here: where to go on."""


class Upload(Record):
    """Files on their way: nothing is a dataset before all of it is here."""

    id: str
    name: Name
    """What the dataset will be called."""
    files: tuple[UploadFile, ...]
    nbytes: int
    received: int
    owner: str
    created: Time
