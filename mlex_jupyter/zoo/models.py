"""The zoo: models that somebody published, in versions, each with a card and with aliases that move.

A version never changes what it predicts: weights, parameters and classes stay. Its card may be edited, and it may be
withdrawn: then it is not listed and not the newest, and its exact version still loads.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from mlex_jupyter.catalog.lineage import link, of_model
from mlex_jupyter.errors import Conflict, Invalid, NotFound, Unavailable, nearest
from mlex_jupyter.events import append
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.blobs import Blobs
from mlex_jupyter.store.tables import Row, aliases, models
from mlex_jupyter.types import NAME, Code, Job, JobFile, Model, Trained, TrainedOn, ZooPage, invalid, new_id, now
from mlex_jupyter.zoo import index, search
from mlex_jupyter.zoo.architectures import Architectures
from mlex_jupyter.zoo.search import Wanted

NEAR_AMONG = 2000
SOURCE = "model_source.py"
"""What a run leaves beside its weights, where its network came as source."""


class Zoo:
    """The published models of one home."""

    def __init__(self, store: Store, settings: Settings, architectures: Architectures) -> None:
        self.store = store
        self.settings = settings
        self.architectures = architectures
        self.blobs = Blobs(settings)
        self._caught_up = False

    # ------------------------------------------------------------ looking

    async def search(self, query: str = "", *, past: str | None = None, limit: int = 50, **sought: Any) -> ZooPage:
        """A page of models, the newest version of each, and of architectures after them."""
        wanted = Wanted(actor=self.settings.user, query=query, **sought)
        await self._catch_up()
        networks = wanted.kind != "model"
        installed = await self.architectures.installed() if networks else []

        def page(tx: Connection) -> ZooPage:
            known = installed + self.architectures.sources.listed(tx) if networks else []
            return search.search(tx, wanted, known, past, limit)

        return await self.store.read(page)

    async def _catch_up(self) -> None:
        if not self._caught_up and await self.store.read(index.behind):
            while await self.store.write(index.catch_up):
                pass
        self._caught_up = True

    async def model(self, reference: str, version: int | None = None) -> Model:
        """A published model: `pores`, its newest version; `pores@3`; `pores@champion`."""
        return await self.store.glance(lambda tx: self._model(tx, reference, version))

    async def find(self, reference: str, version: int | None = None) -> Model | None:
        """`model`, or None where nothing is called so; a version or alias that is missing is NotFound."""
        name, _, _ = reference.partition("@")
        there = select(models.c.id).where(models.c.name == name, self._visible).limit(1)

        def look(tx: Connection) -> Model | None:
            if tx.execute(there).first() is None or (
                not ("@" in reference or version) and self._newest(tx, name) is None
            ):
                return None
            return self._model(tx, reference, version)

        return await self.store.read(look)

    async def versions(self, name: str) -> list[Model]:
        """All versions, the newest first; withdrawn ones among them."""

        def look(tx: Connection) -> list[Model]:
            query = select(models).where(models.c.name == name, self._visible).order_by(models.c.version.desc())
            found = [self._full(tx, row) for row in tx.execute(query).all()]
            return found or [self._model(tx, name, None)]

        return await self.store.read(look)

    async def by_id(self, model_id: str) -> Model:
        """The model with this id."""

        def look(tx: Connection) -> Model:
            row = tx.execute(select(models).where(models.c.id == model_id, self._visible)).one_or_none()
            if row is None:
                raise NotFound(f"There is no model with the id {model_id[:80]!r}.", hint="List them: mlex models")
            return self._full(tx, row)

        return await self.store.read(look)

    def trained(self, model: Model) -> Trained:
        """A published model as prediction loads it: its weights are a blob of this home."""
        entry = entry_points("mlex.models").get(model.architecture)
        builder = model.builder or (entry and entry.value)
        if builder is None:
            raise Unavailable(
                f"{model.name} needs the architecture {model.architecture}, which is not installed here.",
                hint="Install the package that it came from.",
            )
        return Trained(
            architecture=model.architecture,
            builder=builder,
            task=model.task,
            params=model.params,
            channels=model.channels,
            classes=model.classes,
            preprocessing=model.preprocessing,
            weights=str(self.blobs.path(model.weights)),
            source=model.id,
        )

    async def code(self, model: Model) -> Code | None:
        """The source that a model brings, if this person trusts its owner; None where its architecture is installed."""
        if model.code is None:
            return None
        self.architectures.sources.check_trusted(model.owner, model.name)
        return await self.source(model)

    async def source(self, model: Model) -> Code:
        """The same, to be read."""
        if model.code is None or model.builder is None:
            hint = f"Its architecture, {model.architecture}, is installed."
            raise NotFound(f"{model.name} brings no source.", hint=hint)
        await asyncio.to_thread(self.blobs.verify, model.code)
        return Code(name=model.builder.partition(":")[2], text=self.blobs.path(model.code).read_text())

    async def names(self) -> list[str]:
        """The names of the newest models, to compare one with that was mistyped."""
        return await self.store.read(self._names)

    def _names(self, tx: Connection) -> list[str]:
        listed = select(models.c.name).where(self._visible, models.c.withdrawn.is_(None))
        newest = listed.order_by(models.c.created.desc()).limit(NEAR_AMONG)
        return list(dict.fromkeys(tx.execute(newest).scalars()))

    @property
    def _visible(self) -> ColumnElement[bool]:
        mine = models.c.owner == self.settings.user
        return or_(models.c.visibility == "shared", mine, models.c.owner.is_(None))

    def _newest(self, tx: Connection, name: str) -> int | None:
        listed = models.c.name == name, models.c.withdrawn.is_(None), self._visible
        return tx.execute(select(func.max(models.c.version)).where(*listed)).scalar()

    def _row(self, tx: Connection, reference: str, version: int | None) -> Row:
        name, at, which = reference.partition("@")
        if at and version is not None:
            raise Invalid(f"{reference} says a version already.", hint="Leave --version out.")
        asked = version if version is not None else _version(tx, name, which) if at else self._newest(tx, name)
        query = select(models).where(models.c.name == name, models.c.version == asked, self._visible)
        row = tx.execute(query).one_or_none() if asked is not None else None
        if row is None:
            self._missing(tx, name, version if version is not None else which or None)
        return row

    def _missing(self, tx: Connection, name: str, which: int | str | None) -> None:
        mine = select(models.c.version, models.c.withdrawn).where(models.c.name == name, self._visible)
        rows = tx.execute(mine.order_by(models.c.version)).all()
        if not rows:
            near = nearest(name, self._names(tx))
            raise NotFound(f"There is no model {name!r} in the zoo.", hint=near or "List them: mlex models")
        if which is None:
            last = rows[-1].version
            raise NotFound(
                f"The model {name} was withdrawn.", hint=f"Its versions still load: {name}@{last}. List it again: "
                f"mlex restore-model {name}@{last}"
            )  # fmt: skip
        there = ", ".join(str(row.version) for row in rows[-20:])
        called = ", ".join(tx.execute(select(aliases.c.alias).where(aliases.c.name == name)).scalars())
        raise NotFound(
            f"The model {name} has no version {which}.", hint=f"There are {there}{f', and {called}' if called else ''}."
        )

    def _model(self, tx: Connection, reference: str, version: int | None) -> Model:
        return self._full(tx, self._row(tx, reference, version))

    def _full(self, tx: Connection, row: Row) -> Model:
        called = select(aliases.c.alias).where(aliases.c.name == row.name, aliases.c.version == row.version)
        known = tuple(tx.execute(called.order_by(aliases.c.alias)).scalars())
        return Model.model_validate(row.record | {"aliases": known, "withdrawn": row.withdrawn})

    # ------------------------------------------------------------ publishing

    async def publish(self, job: Job, trained: Trained, file: JobFile, **card: Any) -> Model:
        """Put a training's network into the zoo, as the next version of that name; once for each run and name."""
        weights = await asyncio.to_thread(self.blobs.put, Path(trained.weights))
        if file.data is None:
            raise Invalid(f"{job.name} names no data, so it is no training.")
        if file.code is not None:
            code = await asyncio.to_thread(self.blobs.put, Path(trained.weights).with_name(SOURCE))
            if code != f"sha256:{file.code.sha256}":
                raise Conflict(f"The source in the folder of {job.name} was changed.", hint="Train again.")
            card |= {"code": code, "builder": trained.builder}
        shared = ("architecture", "task", "params", "channels", "preprocessing", "classes")
        kind = file.architecture
        return await self.add(
            **{name: getattr(trained, name) for name in shared},
            **({"framework": kind.framework} if kind else {}),
            weights=weights,
            run=job.id,
            dataset=file.data.id,
            labels=file.labels.id if file.labels else "",
            trained_on=TrainedOn.of(file.data),
            metrics=job.metrics,
            project=file.spec.project,
            image=file.spec.image,
            resources=file.spec.resources,
            **card,
        )

    async def add(self, **fields: Any) -> Model:
        """Add a model as the next version of its name; once for each run and name."""
        try:
            model = Model(id=new_id("model"), version=1, created=now(), **fields)
        except ValidationError as error:
            raise invalid(error, "The model") from error
        return await self.store.write(lambda tx: self._insert(tx, model))

    def _insert(self, tx: Connection, model: Model) -> Model:
        named = models.c.name == model.name
        before = tx.execute(select(models).where(named, models.c.run == model.run)).one_or_none()
        if before is not None:
            return self._full(tx, before)
        if model.name in entry_points("mlex.models"):
            raise Conflict(f"{model.name} is the name of an architecture.", hint="Choose another name for the model.")
        if tx.execute(select(models.c.id).where(named, ~self._visible).limit(1)).first():
            raise Conflict(f"The name {model.name} is taken.", hint="Choose another name for the model.")
        newest = tx.execute(select(func.max(models.c.version)).where(named)).scalar() or 0
        model = model.model_copy(update={"version": newest + 1})
        same = model.model_dump(include={"id", "name", "version", "run", "owner", "visibility"})
        tx.execute(insert(models).values(**same, record=_record(model), created=model.created.timestamp()))
        index.index(tx, model.name)
        link(tx, model.id, of_model(model))
        _tell(tx, model, "published", run=model.run)
        return model

    # ------------------------------------------------------------ the card, aliases, withdrawal

    async def edit(self, reference: str, version: int | None = None, **card: Any) -> Model:
        """Change what a version's card says."""
        if not card:
            raise Invalid("Nothing is to be changed.", hint="Say what: --title, --tags, --description, --license, …")

        def change(tx: Connection) -> Model:
            before = self._model(tx, reference, version)
            self._check_owner(before)
            try:
                model = Model.model_validate(before.model_dump() | card)
            except ValidationError as error:
                raise invalid(error, "The card") from error
            if model == before:
                return before
            values = {"record": _record(model), "visibility": model.visibility}
            tx.execute(update(models).where(models.c.id == model.id).values(**values))
            index.index(tx, model.name)
            _tell(tx, model, "edited", fields=sorted(name for name in card if card[name] != getattr(before, name)))
            return model

        return await self.store.write(change)

    async def alias(self, reference: str, alias: str, version: int | None = None, *, remove: bool = False) -> Model:
        """Let a word stand for a version, from now on; a word that stood for another version moves."""
        if not NAME.fullmatch(alias) or alias.isdecimal():
            raise Invalid(
                f"{alias[:80]!r} cannot be an alias.",
                hint="Use letters, digits, '.', '_' and '-', and not only digits.",
            )

        def move(tx: Connection) -> Model:
            model = self._model(tx, f"{reference}@{alias}" if remove else reference, version)
            self._check_owner(model)
            key = aliases.c.name == model.name, aliases.c.alias == alias
            before = tx.execute(select(aliases.c.version).where(*key)).scalar()
            tx.execute(delete(aliases).where(*key))
            if not remove:
                tx.execute(insert(aliases).values(name=model.name, alias=alias, version=model.version))
            if remove or before != model.version:
                _tell(tx, model, "alias removed" if remove else "alias", alias=alias, before=before)
            return self._model(tx, model.name, model.version)

        return await self.store.write(move)

    async def withdraw(self, reference: str, version: int | None = None) -> Model:
        """List a version no longer; what names it exactly still loads it."""
        return await self.store.write(lambda tx: self._list(tx, reference, version, now().timestamp()))

    async def restore(self, reference: str, version: int | None = None) -> Model:
        """List a version again."""
        return await self.store.write(lambda tx: self._list(tx, reference, version, None))

    def _list(self, tx: Connection, reference: str, version: int | None, withdrawn: float | None) -> Model:
        model = self._model(tx, reference, version)
        self._check_owner(model)
        if (model.withdrawn is None) == (withdrawn is None):
            return model
        if withdrawn is not None and model.aliases:
            called = model.aliases[0]
            raise Conflict(
                f"{model.name}@{called} is this version.",
                hint=f"Move it first: mlex alias {model.name} {called} --version N, or remove it with --remove.",
            )
        tx.execute(update(models).where(models.c.id == model.id).values(withdrawn=withdrawn))
        index.index(tx, model.name)
        _tell(tx, model, "restored" if withdrawn is None else "withdrawn")
        return self._model(tx, model.name, model.version)

    def _check_owner(self, model: Model) -> None:
        if model.owner != self.settings.user:
            raise Conflict(f"{model.name} is {model.owner}'s.", hint=f"Ask {model.owner}, or publish one of your own.")


def _version(tx: Connection, name: str, which: str) -> int | None:
    """The version that stands behind an @."""
    if which.isdecimal():
        return int(which)
    query = select(aliases.c.version).where(aliases.c.name == name, aliases.c.alias == which)
    return tx.execute(query).scalar()


def _record(model: Model) -> dict[str, Any]:
    """What the row's JSON holds; aliases and withdrawal stand elsewhere."""
    return model.model_dump(mode="json", exclude={"aliases", "withdrawn"})


def _tell(tx: Connection, model: Model, change: str, **more: Any) -> None:
    append(tx, model.id, "model", {"name": model.name, "version": model.version, "change": change, **more})
