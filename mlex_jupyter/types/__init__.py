"""Every type that crosses a wire or a disk: frozen, typed, with its units in the name.

The OpenAPI document, the TypeScript client, the command line's options and the job folder's files are all made
from these, so a field is named once, here. Names are snake_case on every side.
"""

from __future__ import annotations

from mlex_jupyter.types.base import NAME, Name, Params, Problem, Record, Time, checked, invalid, new_id, now
from mlex_jupyter.types.data import ClassInfo, Dataset, LabelSet
from mlex_jupyter.types.jobs import (
    FINAL,
    Ending,
    Job,
    JobFile,
    JobSpec,
    JobState,
    LogChunk,
    Output,
    PredictTask,
    Progress,
    Resources,
    Result,
    RunTask,
    Task,
    TrainTask,
    Why,
)
from mlex_jupyter.types.system import Check, Event, Hello, TargetInfo
from mlex_jupyter.types.zoo import Architecture, ArrayContract, Model, Preprocessing, Trained, ZooEntry

__all__ = [
    "FINAL",
    "NAME",
    "Architecture",
    "ArrayContract",
    "Check",
    "ClassInfo",
    "Dataset",
    "Ending",
    "Event",
    "Hello",
    "Job",
    "JobFile",
    "JobSpec",
    "JobState",
    "LabelSet",
    "LogChunk",
    "Model",
    "Name",
    "Output",
    "Params",
    "PredictTask",
    "Preprocessing",
    "Problem",
    "Progress",
    "Record",
    "Resources",
    "Result",
    "RunTask",
    "TargetInfo",
    "Task",
    "Time",
    "TrainTask",
    "Trained",
    "Why",
    "ZooEntry",
    "checked",
    "invalid",
    "new_id",
    "now",
]
