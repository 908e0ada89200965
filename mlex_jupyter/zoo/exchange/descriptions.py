"""What is in a package, as text: its description, and the source of its network where it brings that.

Nothing of it is run, nor parsed as a program: source is compared with what people here have brought and trust.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import Architecture, Code
from mlex_jupyter.zoo.exchange.archives import Archive, opened
from mlex_jupyter.zoo.exchange.bioimageio import Brought, brought
from mlex_jupyter.zoo.sources import Sources

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")


class Own(NamedTuple):
    """A network that a package brings, and that is trusted here."""

    said: Brought
    architecture: Architecture
    code: Code


def read_description(archive: Archive) -> dict[str, Any]:
    """The description of a package, as plain values."""
    names = [name for name in DESCRIPTIONS if name in archive.sizes]
    names += sorted(name for name in archive.sizes if name.endswith(".rdf.yaml") and "/" not in name)
    if not names:
        raise Invalid("The package holds no rdf.yaml, so it is none of bioimage.io.")
    try:
        found = yaml.safe_load(archive.text(names[0]))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Invalid(f"{names[0]} cannot be read: {str(error).splitlines()[0][:200]}.") from None
    if not isinstance(found, dict) or found.get("type") != "model":
        raise Invalid(f"{names[0]} describes no model.")
    return found


async def own_network(file: Path, sources: Sources) -> Own | None:
    """The network that a package brings, where somebody who is trusted has listed that very text here."""
    said, text = await asyncio.to_thread(_source, file)
    known = await sources.trusted(text, said.name) if said and text is not None else None
    return Own(said, *known) if said and known else None


def _source(file: Path) -> tuple[Brought | None, str | None]:
    """The source that a package brings, as text to compare; nothing of it is run, nor even parsed."""
    with opened(file) as archive:
        try:
            said = brought(read_description(archive))
        except Invalid:  # what is wrong with it is said where it is read to be used
            return None, None
        if said is None or said.file not in archive.sizes:
            return said, None
        text = archive.text(said.file)
    if said.sha256 is not None and hashlib.sha256(text.encode()).hexdigest() != said.sha256:
        raise Invalid(f"{said.file} is not the source that the description names: its SHA-256 differs.")
    return said, text.replace("\r\n", "\n").replace("\r", "\n")  # as a file is read that is ingested
