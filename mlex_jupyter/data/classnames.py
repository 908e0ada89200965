"""Class names that stand with labels in a file: among a zarr's attributes, or as NAME.classes.json beside it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from mlex_jupyter.errors import Invalid
from mlex_jupyter.files import read_piece
from mlex_jupyter.types import ClassInfo

BESIDE = ".classes.json"
LARGEST = 1 << 20


def beside(path: Path) -> list[ClassInfo]:
    """The classes that an export wrote with these labels; none where there are none."""
    file = path / "zarr.json" if path.is_dir() else path.with_name(path.name + BESIDE)
    _, content, size = read_piece(file, 0, LARGEST)
    if not content or size > LARGEST:
        return []
    try:
        said = json.loads(content)
        if path.is_dir():
            said = said["attributes"]["labels"]
        return [ClassInfo.model_validate(one) for one in said["classes"]]
    except (KeyError, TypeError) as error:
        if path.is_dir():
            return []  # a zarr of somebody else's
        raise Invalid(f"{file} does not name classes: {error}.") from error
    except (ValueError, RecursionError, ValidationError) as error:
        raise Invalid(f"{file} does not name classes: {str(error)[:200]}.", hint="Mend it, or take it away.") from error
