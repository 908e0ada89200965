"""How far a prediction is, on the disk: a plan that all attempts keep to, and a record of every band that is done.

    <folder>/prediction-plan.json            what made it, and how slices are cut
    <folder>/prediction-bands/00000016.json  the slices from 16 on that are on the disk, and the hash of their files

A record is written after the files of its slices are durable. Several jobs may work on different slices of one folder.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from mlex_jupyter.files import write_whole
from mlex_jupyter.types import Record


class Plan(Record):
    """All that decides what comes out, to the last bit."""

    made_by: str
    """The weights, the volume and what was asked for, as a hash."""
    backend: str
    multiple: int
    halo: int | None
    largest: int
    batch: int
    band: int
    """Slices that are written together; bands begin at multiples of it."""
    dims: int = 2
    computed: int = 0
    """Voxels that are computed for all slices, where a halo of slices makes them more than there are."""


class Band(Record):
    """Some slices that are done."""

    start: int
    stop: int
    sha256: str
    """Of the contents of all of their files."""
    uncertainty: tuple[float, ...]
    """Of each slice."""


class Ledger:
    """The records of one prediction."""

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "prediction-plan.json"
        self._bands = folder / "prediction-bands"
        self._lock = folder / ".prediction-lock"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else plans meanwhile."""
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def plan(self, made_by: str) -> Plan | None:
        """The plan of an earlier attempt, if it was for the same."""
        try:
            plan = Plan.model_validate_json(self._plan.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return plan if plan.made_by == made_by else None

    def begin(self, plan: Plan) -> None:
        """Forget what was done by another plan, and keep to this one."""
        self._plan.unlink(missing_ok=True)
        self._bands.mkdir(exist_ok=True)
        for record in self._bands.iterdir():
            record.unlink()
        self.keep_to(plan)

    def keep_to(self, plan: Plan) -> None:
        """From now on; what is done stays."""
        write_whole(self._plan, plan.model_dump_json(indent=2))

    def record(self, band: Band) -> None:
        """These slices are done."""
        write_whole(self._bands / f"{band.start:08d}.json", band.model_dump_json())

    def bands(self) -> list[Band]:
        """All that is recorded, in order."""
        found = []
        for place in sorted(self._bands.glob("[0-9]*.json")):
            try:
                found.append(Band.model_validate_json(place.read_bytes()))
            except ValidationError:
                continue  # it is done again
        return found

    def whole(self, files_of: Callable[[int], Iterable[Path]]) -> tuple[list[Band], int]:
        """The bands whose files are still what was recorded, and how many are not."""
        bands = self.bands()
        whole = [one for one in bands if _matches(one, files_of)]
        return whole, len(bands) - len(whole)


def hash_of(files: Iterable[Path]) -> str:
    """Of the contents of files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _matches(band: Band, files_of: Callable[[int], Iterable[Path]]) -> bool:
    try:
        return hash_of(file for z in range(band.start, band.stop) for file in files_of(z)) == band.sha256
    except FileNotFoundError:
        return False
