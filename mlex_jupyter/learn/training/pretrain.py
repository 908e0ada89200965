"""The task "pretrain": an encoder that learned without labels, and what it leaves in the job folder.

<job>/weights.safetensors, model.json    the best encoder's weights, and all that a training needs to begin with them
<job>/picture.png                        some patches, and those that it takes for most alike
<job>/pictures/epoch-0003.png            the same after each epoch
"""

from __future__ import annotations

import hashlib

from safetensors.torch import save

from mlex_jupyter.data.readers import open_volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.models import wants
from mlex_jupyter.learn.params import PretrainParams
from mlex_jupyter.learn.training.contrast import Pretraining
from mlex_jupyter.learn.training.course import Course
from mlex_jupyter.learn.training.patches import Patches
from mlex_jupyter.learn.training.task import carry_out
from mlex_jupyter.learn.training.together import started_together
from mlex_jupyter.types import JobFile, Output, PretrainTask, Result, Trained


def pretrain(attempt: Attempt) -> Result:
    """Train an encoder, or go on training it, and leave the best one in the job folder."""
    training = pretraining_of(attempt)
    carry_out(training)
    return _finish(attempt, training)


def pretraining_of(attempt: Attempt) -> Pretraining:
    """The training that a job asks for."""
    job = attempt.job
    if not (isinstance(job.spec.task, PretrainTask) and job.data and job.architecture):
        raise Invalid("This job does not say what is to learn from what.")
    if started_together():
        raise Invalid(
            "Learning without labels takes one process: each patch is told from all others of its batch.",
            hint="Start it without torchrun.",
        )
    course = Course(
        builder=job.architecture.builder,
        title=job.architecture.title,
        params=job.spec.task.params,
        identity=_identity(job),
        memory_gb=job.spec.resources.memory_gb,
        start=attempt.path / job.model.weights if job.model else None,
    )
    volume, wanted = open_volume(job.data), wants(course.builder, course.params)
    patches = Patches(volume, wanted, PretrainParams.of(course.params))
    return Pretraining(course, patches, attempt, folder=attempt.path)


def _identity(job: JobFile) -> str:
    assert isinstance(job.spec.task, PretrainTask) and job.data and job.architecture
    start = job.model.source if job.model else None
    parts = ("pretrain", job.architecture.builder, sorted(job.spec.task.params.items()), job.data.id, start)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _finish(attempt: Attempt, training: Pretraining) -> Result:
    path, standing, architecture, data = attempt.path, training.standing, attempt.job.architecture, attempt.job.data
    assert architecture and data
    write_whole(path / "weights.safetensors", save(training.encoder()))
    trained = Trained(
        architecture=architecture.name,
        builder=architecture.builder,
        task="embedding",
        params=training.course.params,
        channels=training.patches.volume.shape_ZCYX[1],
        classes=(),
        preprocessing=training.patches.preprocessing,
        weights="weights.safetensors",
    )
    write_whole(path / "model.json", trained.model_dump_json(indent=2))
    write_whole(path / "picture.png", training.draw()[0])
    found = standing.best_metrics["pairs_found"]
    attempt.note(f"The encoder of epoch {standing.best_epoch} is kept: it finds {found:.1%} of the partners")
    source = (data.id, attempt.job.id)
    outputs = (
        Output(kind="weights", name=architecture.name, ref="weights.safetensors", derived_from=source),
        Output(kind="picture", name="Patches and those most alike", ref="picture.png", derived_from=source),
    )
    return Result(attempt=attempt.number, outputs=outputs, metrics=standing.best_metrics)
