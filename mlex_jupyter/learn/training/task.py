"""The task "train": a training for a job, followed by its attempt, and what it leaves in the job folder.

<job>/weights.safetensors, model.json     the best weights, and all that prediction needs beside them
<job>/picture.png, labelled-slices.zarr   what they make of the labelled slices
<job>/pictures/epoch-0003.png             one labelled slice, after each epoch
"""

from __future__ import annotations

import hashlib
from typing import Any

from safetensors.torch import save

from mlex_jupyter.errors import Invalid
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.models import wants
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.training import judge
from mlex_jupyter.learn.training.atonce import training_for
from mlex_jupyter.learn.training.course import Course, Halted
from mlex_jupyter.learn.training.foretelling import Foretelling
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.loop import Training
from mlex_jupyter.learn.training.steps import Learning
from mlex_jupyter.learn.training.together import Together, together
from mlex_jupyter.types import JobFile, Output, Result, Trained, TrainTask


def train(attempt: Attempt) -> Result:
    """Train, or go on training, and leave the best weights in the job folder."""
    with together() as others:
        training = training_of(attempt, others)
        carry_out(training)
        return finish(attempt, training) if others.leads else Result(attempt=attempt.number)


def carry_out(learning: Learning) -> None:
    """Learn, or go on learning, until all is done or somebody wants it to stop."""
    try:
        learning.resume()
        learning.run()
    except Halted as halted:
        raise Stopped(str(halted)) from halted


def training_of(attempt: Attempt, others: Together | None = None) -> Training:
    """The training that a job asks for."""
    job = attempt.job
    if not (isinstance(job.spec.task, TrainTask) and job.data and job.labels and job.architecture):
        raise Invalid("This job does not say what to train on what.")
    course = Course(
        builder=job.architecture.builder,
        title=job.architecture.title,
        params=job.spec.task.params,
        identity=_identity(job),
        memory_gb=job.spec.resources.memory_gb,
        start=attempt.path / job.model.weights if job.model else None,
        encoder=job.model is not None and job.model.task == "embedding",
    )
    params = TrainParams.of(course.params)
    wanted = wants(course.builder, course.params)
    labelled = Labelled.of(job.data, job.labels, wanted=wanted, validation=params.validation, seed=params.seed)
    follower: Any = Foretelling(attempt, params)
    return training_for(course, labelled, follower, folder=attempt.path, together=others)


def _identity(job: JobFile) -> str:
    assert isinstance(job.spec.task, TrainTask) and job.data and job.labels and job.architecture
    start = job.model.source if job.model else None
    parts = (job.architecture.builder, sorted(job.spec.task.params.items()), job.data.id, job.labels.uri, start)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def finish(attempt: Attempt, training: Training) -> Result:
    """Leave weights, contract, picture and the segmented labelled slices."""
    path, standing, labelled = attempt.path, training.standing, training.labelled
    architecture = attempt.job.architecture
    assert architecture
    write_whole(path / "weights.safetensors", save(training.state.best))
    trained = Trained(
        architecture=architecture.name,
        builder=architecture.builder,
        params=training.course.params,
        channels=labelled.volume.shape_ZCYX[1],
        classes=labelled.classes,
        preprocessing=labelled.preprocessing,
        weights="weights.safetensors",
    )
    write_whole(path / "model.json", trained.model_dump_json(indent=2))
    judge.write_labelled_slices(path, training.state.load_best(), labelled, training.fit, training.device)
    kept_apart = f", with a Dice of {standing.best:.3f} on the labelled pixels kept apart"
    attempt.note(f"The weights of epoch {standing.best_epoch} are kept{kept_apart if training.judged_pixels else ''}")
    outputs = _outputs(attempt.job, len(labelled.zs))
    return Result(attempt=attempt.number, outputs=outputs, metrics=standing.best_metrics)


def _outputs(job: JobFile, slices: int) -> tuple[Output, ...]:
    """What is left, and from what it was made. The slices are no dataset: each training would lengthen the list."""
    assert job.data and job.labels and job.architecture
    source = (job.data.id, job.labels.id, job.id)
    predicted = f"Prediction of its {f'{slices} labelled slices' if slices > 1 else 'labelled slice'}"
    return (
        Output(kind="weights", name=job.architecture.name, ref="weights.safetensors", derived_from=source),
        Output(kind="picture", name="Labels and prediction", ref="picture.png", derived_from=source),
        Output(kind="slices", name=predicted, ref=judge.SLICES, derived_from=source),
    )
