"""Inspections: what a look at all values of a volume finds, kept for as long as its files stay the same.

<home>/cache/quality/<id>.json
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from pathlib import Path

from pydantic import ValidationError

from mlex_jupyter.data.marks import mark_of
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.files import write_whole
from mlex_jupyter.settings import Settings
from mlex_jupyter.telling import tell
from mlex_jupyter.types import Dataset, LabelSet, Quality

BUDGET_BYTES = 4 << 30
"""So much of a volume is looked at where nobody asks for all of it."""
WHOLE = 1 << 62


class Inspections:
    """The reports of one home."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "cache" / "quality"
        self.reading = Reading(settings)
        self._looking: dict[str, asyncio.Task[Quality]] = {}

    async def of_dataset(self, dataset: Dataset, *, whole: bool) -> Quality:
        """What a dataset's values are like."""
        return await self._of(dataset, dataset.id, whole=whole, painted=False)

    async def of_labels(self, dataset: Dataset, labels: LabelSet) -> Quality:
        """What is painted in a version of a label set."""
        lengths = dict(zip(dataset.axes, dataset.shape, strict=True))
        shape = (lengths.get("z", 1), lengths["y"], lengths["x"])
        about = {"reader": "zarr", "dtype": "uint8", "axes": "zyx", "created": labels.created}
        painted = Dataset(
            id=labels.id,
            name=labels.name,
            uri=labels.uri,
            shape=shape,
            nbytes=shape[0] * shape[1] * shape[2],
            classes=labels.classes,
            **about,
        )
        return await self._of(painted, f"{labels.id}-v{labels.version}", whole=True, painted=True)

    async def _of(self, dataset: Dataset, name: str, *, whole: bool, painted: bool) -> Quality:
        """Who asks while another looks waits for the same look; it goes on when one of them goes away."""
        file = self.folder / f"{name}{'-whole' if whole and dataset.nbytes > BUDGET_BYTES else ''}.json"
        mark = await asyncio.to_thread(mark_of, dataset.uri)
        known = _kept(file, mark)
        if known is not None:
            described = {"name": dataset.name, "dataset": dataset.id}
            return known.model_copy(update=described)
        key = f"{file.name} {mark}"
        if key not in self._looking:
            look = self._look(dataset, file, mark, WHOLE if whole else BUDGET_BYTES, painted=painted)
            self._looking[key] = asyncio.create_task(look)
            self._looking[key].add_done_callback(lambda _: self._looking.pop(key, None))
        return await asyncio.shield(self._looking[key])

    async def _look(self, dataset: Dataset, file: Path, mark: str | None, budget: int, *, painted: bool) -> Quality:
        context = contextvars.copy_context()

        def heard(so_far: dict[str, int]) -> None:
            context.run(tell, f"looked at {so_far['done'] / so_far['of']:.0%} of {dataset.name}")

        found = await self.reading.quality(dataset, budget, painted=painted, heard=heard)
        found = found.model_copy(update={"mark": mark})
        if mark is not None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(file, found.model_dump_json(), durable=False)
        return found


def _kept(file: Path, mark: str | None) -> Quality | None:
    """The report that is kept, if it is of what lies there now; one that an older version wrote is none."""
    with contextlib.suppress(FileNotFoundError, ValidationError):
        known = Quality.model_validate_json(file.read_bytes())
        return known if mark is not None and known.mark == mark else None
    return None
