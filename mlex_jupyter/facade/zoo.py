"""The zoo: models, and architectures that train from zero."""

from __future__ import annotations

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import Architecture, Model, ZooEntry
from mlex_jupyter.verbs import verb


class ZooVerbs(Parts):
    """What can be done with models."""

    @verb("GET", "/models")
    async def models(self, query: str = "*", *, task: str | None = None) -> list[ZooEntry]:
        """Search the zoo: published models, and architectures that train from zero."""
        return await self.zoo.search(query, task)

    @verb("GET", "/models/{name}")
    async def model(self, name: str, *, version: int | None = None) -> Model:
        """Show one published model."""
        return await self.zoo.model(name, version)

    @verb("GET", "/architectures")
    async def architectures(self) -> list[Architecture]:
        """List the architectures with the form of their parameters."""
        return await self.zoo.architectures()

    @verb("GET", "/architectures/{name}")
    async def architecture(self, name: str) -> Architecture:
        """Show one architecture with the form of its parameters."""
        return await self.zoo.architecture(name)

    @verb("POST", "/models", status=201)
    async def publish(
        self,
        run: str,
        name: str,
        *,
        title: str = "",
        tags: tuple[str, ...] = (),
        license: str | None = None,
        citation: str | None = None,
    ) -> Model:
        """Publish a finished training in the zoo; the same run and name again is the same version."""
        job = await self.job_list.get(run)
        trained, file = self.job_list.trained(job), await self.job_list.file(job.id)
        card = {"name": name, "title": title, "tags": tags, "license": license, "citation": citation}
        return await self.zoo.publish(job, trained, file, owner=self.settings.user, **card)
