"""A request made complete: every default filled in, every name resolved, so that a run needs nothing but its folder."""

from __future__ import annotations

import os
from typing import Any

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.forms import complete_params, preset_params
from mlex_jupyter.jobs.looking import Looking
from mlex_jupyter.labels import Labels
from mlex_jupyter.targets import Targets
from mlex_jupyter.types import (
    MODULE,
    NAME,
    Architecture,
    Code,
    Dataset,
    EstimateTask,
    Job,
    JobFile,
    JobSpec,
    JobState,
    Params,
    PredictTask,
    PretrainTask,
    Resources,
    RunTask,
    Task,
    Trained,
    TrainTask,
    new_id,
)
from mlex_jupyter.zoo import Zoo, fit

Begun = tuple[Trained | None, str | None, Params]
"""The network that a training begins with, its exact name, and what its form was."""
Completed = tuple[dict[str, Any], dict[str, Any]]
"""What changes in a task, and what the job needs beside it."""


class Completing:
    """What requests come to, with the data, labels and networks of one home."""

    def __init__(self, jobs: Looking, catalog: Catalog, labels: Labels, zoo: Zoo, targets: Targets) -> None:
        self.jobs = jobs
        self.catalog = catalog
        self.labels = labels
        self.zoo = zoo
        self.targets = targets

    async def prepare(self, spec: JobSpec, owner: str) -> JobFile:
        """What a request comes to: complete and checked, and nothing is kept."""
        job = await self._complete(spec, owner)
        await self._check_room(job)
        return job

    async def _complete(self, spec: JobSpec, owner: str) -> JobFile:
        self.targets.get(spec.target)
        after = tuple([(await self.jobs.get(name)).id for name in spec.after])
        job = await self._with_inputs(spec.task, JobFile(id=new_id("run"), name="", owner=owner, spec=spec))
        complete = job.spec.model_copy(update={"after": after})
        return job.model_copy(update={"spec": complete, "name": spec.name or _stem(job)})

    async def _with_inputs(self, task: Task, job: JobFile) -> JobFile:
        if isinstance(task, RunTask):
            if task.folder is not None and not (os.path.isabs(task.folder) and os.path.isdir(task.folder)):
                raise Invalid(f"There is no folder {task.folder[:200]!r} to run in.", hint="Give its absolute path.")
            return job
        data = await self.catalog.get(task.data)
        fit.refuse([fit.axes(data)])
        room = job.spec.resources
        found: dict[str, Any]
        match task:
            case PredictTask():
                changed, found = await self._prediction(task, data, room)
            case PretrainTask():
                changed, found = await self._pretraining(task, data, room)
            case TrainTask():
                changed, found = await self._training(task, data, room)
        task = task.model_copy(update={"data": data.name, **changed})
        return job.model_copy(update={"data": data, **found, "spec": job.spec.model_copy(update={"task": task})})

    async def _prediction(self, task: PredictTask, data: Dataset, room: Resources) -> Completed:
        model, named = await self.network(task.model, task.version)
        fit.refuse(fit.checks(fit.ready(task.model, model, None, None), data, None, room))
        return named, {"model": model, "code": await self._code_of(model)}

    async def _training(self, task: TrainTask, data: Dataset, room: Resources) -> Completed:
        architecture, code = await self._architecture(task.model)
        labels = await self.labels.settled(data.id, task.labels)  # with what was painted up to now
        params, exact, start = await self._params(task, architecture)
        fit.refuse(fit.checks(fit.untrained(architecture, params), data, labels, room))
        found = {"labels": labels, "architecture": architecture, "code": code, "model": start}
        return {"params": params, "start": exact}, found

    async def _pretraining(self, task: PretrainTask, data: Dataset, room: Resources) -> Completed:
        architecture, code = await self._architecture(task.model)
        if architecture.pretrain_schema is None:
            able = [one.name for one in await self.zoo.architectures.all() if one.pretrain_schema]
            raise Invalid(
                f"{task.model} has no encoder that could learn without labels.", hint=f"Choose {', '.join(able)}."
            )
        formed = architecture.model_copy(update={"params_schema": architecture.pretrain_schema})
        params, exact, start = await self._params(task, formed)
        fit.refuse(fit.checks(fit.untrained(formed, params), data, None, room))
        return {"params": params, "start": exact}, {"architecture": architecture, "code": code, "model": start}

    async def _architecture(self, name: str) -> tuple[Architecture, Code | None]:
        """An architecture, and its source where somebody brought it who may be trusted."""
        architecture, code = await self.zoo.architectures.buildable(name)
        if architecture.owner is not None:
            self.zoo.architectures.sources.check_trusted(architecture.owner, architecture.name)
        return architecture, code

    async def _params(
        self, task: TrainTask | PretrainTask, architecture: Architecture
    ) -> tuple[Params, str | None, Trained | None]:
        """All parameters, and the network that it begins with, after its exact name."""
        start, exact, begun = await self._start(task.start, architecture)
        preset = preset_params(architecture, task.preset) if task.preset else {}
        return complete_params(architecture, {**begun, **preset, **task.params}), exact, start

    async def _start(self, reference: str | None, architecture: Architecture) -> Begun:
        """What a training begins with. The form of a network stays what it was, or its weights would not fit."""
        if reference is None:
            return None, None, {}
        model, named = await self.network(reference, None)
        if model.architecture != architecture.name:
            raise Invalid(
                f"{reference} is a {model.architecture}, with whose weights no {architecture.name} can begin.",
                hint=f"Train {model.architecture}, or begin with another model.",
            )
        form: Any = architecture.params_schema["properties"]
        own = {name for name, field in form.items() if field.get("x-group") == "network"}
        exact = f"{named['model']}@{named['version']}" if named else model.source
        return model, exact, {name: value for name, value in model.params.items() if name in own}

    async def network(self, reference: str, version: int | None) -> tuple[Trained, dict[str, Any]]:
        """The network of this name, a published model or else a finished training, and its exact name."""
        if published := await self.zoo.find(reference, version):
            return self.zoo.trained(published), {"model": published.name, "version": published.version}
        try:
            run = await self.jobs.get(reference)
        except NotFound as error:
            near = nearest(reference, await self.zoo.names())
            raise NotFound(f"There is no model and no run {reference!r}.", hint=near or error.hint) from None
        return self.trained(run), {}

    async def _code_of(self, model: Trained) -> Code | None:
        """The source that builds a trained network, where somebody brought it who may be trusted."""
        if not model.builder.startswith(MODULE):
            return None
        if not model.source.startswith("run-"):
            return await self.zoo.code(await self.zoo.by_id(model.source))
        run = await self.jobs.get(model.source)
        self.zoo.architectures.sources.check_trusted(run.owner, run.name)
        return (await self.jobs.file(run.id)).code

    def trained(self, run: Job) -> Trained:
        """The network that a finished training left, with the absolute path of its weights."""
        if run.spec.task.kind not in ("train", "pretrain"):
            raise Invalid(f"{run.name} is not a training, so there is no network in it.")
        if run.state != JobState.DONE:
            raise Conflict(
                f"{run.name} is {run.state.value}, so there is no network in it.", hint=f"mlex why {run.name}"
            )
        folder = self.jobs.folder(run.id).path
        try:
            trained = Trained.model_validate_json((folder / "model.json").read_bytes())
        except FileNotFoundError:
            raise NotFound(f"The folder of {run.name} is gone, and its network with it.", hint="Train again.") from None
        return trained.model_copy(update={"weights": str(folder / trained.weights), "source": run.id})

    async def _check_room(self, job: JobFile) -> None:
        """Refuse at once what could never start."""
        reason = self.targets.get(job.spec.target).room(job, ())
        if reason is not None:
            info = await self.targets.get(job.spec.target).info()
            raise Invalid(
                f"The target {info.name} is one machine with {info.cpus} cores and {info.gpus} GPUs: the job would "
                "wait for ever.",
                hint="Ask for less, or choose another target (`mlex targets`).",
            )
        if job.spec.image is not None:
            raise Invalid(f"The target {job.spec.target} runs no container images.", hint="Leave image out.")


def _stem(job: JobFile) -> str:
    task = job.spec.task
    if task.kind == "run":
        called = task.code and (task.code.name or task.argv[0].rpartition("/")[2].removesuffix(".py"))
        return called if called and NAME.fullmatch(called) else "run"
    if isinstance(task, EstimateTask):
        return f"{task.model}-estimate"
    if task.kind == "pretrain":
        return f"{task.model}-encoder"
    return task.model if task.kind == "train" else f"{task.data}-seg"
