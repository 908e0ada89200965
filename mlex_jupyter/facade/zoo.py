"""The zoo: models, and architectures that train from zero."""

from __future__ import annotations

from typing import Literal

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import Architecture, Model, Visibility, ZooEntry, ZooPage
from mlex_jupyter.verbs import verb


class ZooVerbs(Parts):
    """What can be done with models."""

    @verb("GET", "/models")
    async def models(
        self,
        query: str = "*",
        *,
        task: str | None = None,
        tags: tuple[str, ...] = (),
        owner: str | None = None,
        architecture: str | None = None,
        metrics: tuple[str, ...] = (),
        limit: int = 200,
    ) -> list[ZooEntry]:
        """Search the zoo: published models, and architectures that train from zero."""
        page = await self.search_models(
            query, task=task, tags=tags, owner=owner, architecture=architecture, metrics=metrics, limit=limit
        )
        return list(page.entries)

    @verb("GET", "/zoo")
    async def search_models(
        self,
        query: str = "",
        *,
        task: str | None = None,
        tags: tuple[str, ...] = (),
        owner: str | None = None,
        architecture: str | None = None,
        framework: str | None = None,
        metrics: tuple[str, ...] = (),
        kind: Literal["model", "architecture"] | None = None,
        past: str | None = None,
        limit: int = 50,
    ) -> ZooPage:
        """Search the zoo page by page: what was found, how much there is, and where the next page begins."""
        return await self.zoo.search(
            query,
            task=task,
            tags=tags,
            owner=owner,
            architecture=architecture,
            framework=framework,
            metrics=metrics,
            kind=kind,
            past=past,
            limit=limit,
        )

    @verb("GET", "/models/{name}")
    async def model(self, name: str, *, version: int | None = None) -> Model:
        """Show one published model: `pores`, `pores@3` or `pores@champion`."""
        return await self.zoo.model(name, version)

    @verb("GET", "/models/{name}/versions")
    async def model_versions(self, name: str) -> list[Model]:
        """List the versions of a model, the newest first."""
        return await self.zoo.versions(name)

    @verb("GET", "/architectures")
    async def architectures(self) -> list[Architecture]:
        """List the architectures with the form of their parameters."""
        return await self.architecture_list.all()

    @verb("GET", "/architectures/{name}")
    async def architecture(self, name: str) -> Architecture:
        """Show one architecture with the form of its parameters."""
        return await self.architecture_list.get(name)

    @verb("POST", "/models", status=201)
    async def publish(
        self,
        run: str,
        name: str,
        *,
        title: str = "",
        description: str = "",
        tags: tuple[str, ...] = (),
        license: str | None = None,
        citation: str | None = None,
        visibility: Visibility = "private",
        parent: str | None = None,
    ) -> Model:
        """Publish a finished training in the zoo; the same run and name again is the same version."""
        job = await self.job_list.get(run)
        trained, file = self.job_list.trained(job), await self.job_list.file(job.id)
        made_from = (await self.zoo.model(parent)).id if parent else None
        card = {"title": title, "description": description, "tags": tags, "license": license, "citation": citation}
        card |= {"name": name, "visibility": visibility, "parent": made_from, "owner": self.settings.user}
        return await self.zoo.publish(job, trained, file, **card)

    @verb("POST", "/models/{name}/card")
    async def edit_model(
        self,
        name: str,
        *,
        version: int | None = None,
        title: str | None = None,
        description: str | None = None,
        tags: tuple[str, ...] | None = None,
        license: str | None = None,
        citation: str | None = None,
        visibility: Visibility | None = None,
    ) -> Model:
        """Change what a model's card says; what is left out stays."""
        said = {"title": title, "description": description, "tags": tags, "license": license, "citation": citation}
        said |= {"visibility": visibility}
        return await self.zoo.edit(
            name, version, **{field: value for field, value in said.items() if value is not None}
        )

    @verb("POST", "/models/{name}/alias")
    async def alias(self, name: str, alias: str, *, version: int | None = None, remove: bool = False) -> Model:
        """Let a word stand for a version of a model: `mlex alias pores champion --version 3`, then `pores@champion`."""
        return await self.zoo.alias(name, alias, version, remove=remove)

    @verb("POST", "/models/{name}/withdraw")
    async def withdraw_model(self, name: str, *, version: int | None = None) -> Model:
        """List a version of a model no longer; what names it exactly still loads it."""
        return await self.zoo.withdraw(name, version)

    @verb("POST", "/models/{name}/restore")
    async def restore_model(self, name: str, *, version: int | None = None) -> Model:
        """List a withdrawn version again."""
        return await self.zoo.restore(name, version)
