"""The zoo: models, and architectures that train from zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlex_jupyter.errors import Invalid
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import (
    Architecture,
    Conversion,
    Entry,
    FitReport,
    Model,
    Package,
    PackageFile,
    Params,
    Resources,
    TrainedOn,
    Visibility,
    ZooEntry,
    ZooPage,
)
from mlex_jupyter.verbs import verb

if TYPE_CHECKING:
    from mlex_jupyter.zoo.fit import Network


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

    @verb("POST", "/fits", flags={"params": "p"})
    async def fits(
        self,
        model: str,
        *,
        data: str,
        labels: str | None = None,
        version: int | None = None,
        params: Params = {},
        resources: Resources = Resources(),
    ) -> FitReport:
        """Say whether a model, a finished run or an architecture suits data, before anything is submitted."""
        from mlex_jupyter.zoo import fit

        dataset = await self.catalog.get(data)
        labelled = await self.label_sets.get(dataset.id, labels) if labels else None
        network = await self._network(model, version, params)
        said = fit.checks(network, dataset, labelled, resources)
        if all(check.level != "problem" for check in said):
            plane = await self.catalog.reading.plane(dataset, axis=0, index=None)
            said.append(fit.grey(network, plane.dtype, plane.data))
        bad = any(check.level == "problem" for check in said)
        return FitReport(model=network.name, data=dataset.name, fits=not bad, checks=tuple(said))

    async def _network(self, model: str, version: int | None, params: Params) -> Network:
        """What a name means: an architecture, else a published model, else a finished training."""
        from mlex_jupyter.forms import complete_params
        from mlex_jupyter.zoo import fit

        known = {one.name: one for one in await self.architecture_list.all()}
        if model in known:
            return fit.untrained(known[model], complete_params(known[model], params))
        if params:
            raise Invalid(f"{model} is trained: its parameters are fixed.", hint="Leave -p out.")
        trained, _ = await self.job_list.completing.network(model, version)
        if trained.source.startswith("model-"):
            found = await self.zoo.by_id(trained.source)
            return fit.ready(f"{found.name}@{found.version}", trained, known.get(found.architecture), found.trained_on)
        file = await self.job_list.file(trained.source)
        trained_on = TrainedOn.of(file.data) if file.data else None
        return fit.ready(file.name, trained, file.architecture, trained_on)

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
        trained, file = self.job_list.completing.trained(job), await self.job_list.file(job.id)
        begun_with = file.model.source if file.model and file.model.source.startswith("model-") else None
        made_from = (await self.zoo.model(parent)).id if parent else begun_with
        card = {"title": title, "description": description, "tags": tags, "license": license, "citation": citation}
        card |= {"name": name, "visibility": visibility, "parent": made_from, "owner": self.settings.user}
        model = await self.zoo.publish(job, trained, file, **card)
        await self.tell_rules()
        return model

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
    async def alias(self, name: str, word: str, *, version: int | None = None, remove: bool = False) -> Model:
        """Let a word stand for a version of a model: `mlex alias pores champion --version 3`, then `pores@champion`."""
        return await self.zoo.alias(name, word, version, remove=remove)

    @verb("POST", "/models/{name}/withdraw")
    async def withdraw_model(self, name: str, *, version: int | None = None) -> Model:
        """List a version of a model no longer; what names it exactly still loads it."""
        return await self.zoo.withdraw(name, version)

    @verb("POST", "/models/{name}/restore")
    async def restore_model(self, name: str, *, version: int | None = None) -> Model:
        """List a withdrawn version again."""
        return await self.zoo.restore(name, version)

    @verb("POST", "/models/{name}/export")
    async def export_model(self, name: str, path: str, *, version: int | None = None) -> PackageFile:
        """Write a published model as a package of bioimage.io, after it was tried on a slice."""
        self.check_place(path)
        return await self.packages.export(await self.zoo.model(name, version), path)

    @verb("POST", "/packages", status=201)
    async def import_model(self, path: str, *, name: str | None = None) -> Model:
        """Add the model of a bioimage.io package to the zoo, if its weights can be used without running anything."""
        self.check_place(path)
        return await self.packages.take(path, name)

    @verb("POST", "/conversions", status=201, flags={"params": "p", "name": "o"})
    async def convert(
        self,
        path: str,
        *,
        architecture: str,
        class_names: tuple[str, ...],
        params: Params = {},
        preset: str | None = None,
        grey_offset: float = 0.0,
        grey_scale: float = 1.0,
        name: str | None = None,
    ) -> Conversion:
        """Add the weights of a `.pt` file to the zoo: only its tensors are read, in a process apart; nothing runs."""
        from mlex_jupyter.labels.classes import named_classes

        self.check_place(path)
        classes = named_classes(class_names, ())
        made = await self.foreigners.take(
            path,
            name,
            architecture=architecture,
            params=params,
            preset=preset,
            classes=classes,
            offset=grey_offset,
            scale=grey_scale,
        )
        await self.tell_rules()
        return made

    @verb("POST", "/packages/inspect")
    async def inspect_package(self, path: str) -> Package:
        """Say what a bioimage.io package holds, and whether it can be used here."""
        self.check_place(path)
        return await self.packages.look(path)

    @verb("POST", "/entries", status=201)
    async def import_mlexchange(self, path: str) -> list[Entry]:
        """Keep the model entries of MLExchange's content registry that a JSON file holds, with their forms."""
        return await self.exchange_entries.take(path)

    @verb("GET", "/entries")
    async def entries(self) -> list[Entry]:
        """List the imported entries of MLExchange."""
        return await self.exchange_entries.all()

    @verb("GET", "/entries/{name}")
    async def entry(self, name: str) -> Entry:
        """Show one entry of MLExchange with the form of its parameters."""
        return await self.exchange_entries.get(name)
