"""Label sets: what is painted over a dataset."""

from __future__ import annotations

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import ClassInfo, LabelSet
from mlex_jupyter.verbs import verb


class LabelVerbs(Parts):
    """What can be done with label sets."""

    @verb("GET", "/datasets/{data}/labels")
    async def labels(self, data: str) -> list[LabelSet]:
        """List the label sets of a dataset, newest version of each."""
        return await self.label_sets.list(data)

    @verb("POST", "/datasets/{data}/labels", status=201)
    async def import_labels(
        self, data: str, path: str, *, name: str = "labels", classes: tuple[ClassInfo, ...] = ()
    ) -> LabelSet:
        """Take labels from a file (0 is unlabelled) as a new version of a label set."""
        return await self.label_sets.import_file(data, path, name, classes)
