"""Objects stand for their names, and a wrong argument is named."""

from typing import Any

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.faces.arguments import Usage, check
from mlex_jupyter.types import Dataset, Job, JobSpec, JobState, LabelSet, Output, RunTask, ZooEntry, now
from mlex_jupyter.verbs import table

VERBS = table(Mlex)


def a_job(**more: Any) -> Job:
    spec = JobSpec(task=RunTask(argv=("true",)))
    known = {"id": "run-1", "name": "seg", "owner": "me", "state": JobState.DONE, "attempt": 1, "submitted": now()}
    return Job(spec=spec, **{**known, **more})


def a_dataset() -> Dataset:
    return Dataset(
        id="data-1",
        name="sand",
        uri="/x",
        reader="zarr",
        shape=(1, 2, 3),
        dtype="uint8",
        axes="zyx",
        nbytes=6,
        created=now(),
    )


def test_a_dataset_stands_for_its_name() -> None:
    assert check(VERBS["predict"], {"model": "m", "data": a_dataset()})["data"] == "sand"
    assert check(VERBS["dataset"], {"name": a_dataset()}) == {"name": "sand"}


def test_a_job_stands_for_its_id_where_a_run_is_meant() -> None:
    assert check(VERBS["cancel"], {"run": a_job()}) == {"run": "run-1"}
    assert check(VERBS["run"], {"argv": ["true"], "after": [a_job(), "other"]})["after"] == ("run-1", "other")


def test_a_job_stands_for_the_dataset_that_it_made() -> None:
    made = a_job(outputs=(Output(kind="dataset", name="seg-volume", ref="data-2"),))
    assert check(VERBS["predict"], {"model": made, "data": made}) == {"model": "run-1", "data": "seg-volume"}


def test_a_job_that_made_no_dataset_is_none() -> None:
    with pytest.raises(Usage, match="'seg' has made no dataset"):
        check(VERBS["predict"], {"model": "m", "data": a_job()})


def test_a_model_brings_its_version() -> None:
    found = ZooEntry(name="pores", kind="model", version=3, title="", architecture="unet", task="segmentation")
    assert check(VERBS["predict"], {"model": found, "data": "d"}) == {"model": "pores", "data": "d", "version": 3}
    assert check(VERBS["predict"], {"model": found, "data": "d", "version": 1})["version"] == 1


def test_the_wrong_kind_of_object_is_refused() -> None:
    with pytest.raises(Usage, match="train wants a LabelSet, or its name, for 'labels': not a Dataset"):
        check(VERBS["train"], {"model": "m", "data": "d", "labels": a_dataset()})


def test_a_label_set_stands_for_its_name() -> None:
    labels = LabelSet(
        id="l", name="scribbles", dataset="data-1", classes=(), version=1, uri="/l", counts={}, slices=(), created=now()
    )
    assert check(VERBS["train"], {"model": "m", "data": "d", "labels": labels})["labels"] == "scribbles"


def test_a_new_name_is_never_an_object() -> None:
    with pytest.raises(Usage, match="name = "):
        check(VERBS["sample"], {"name": a_dataset()})
