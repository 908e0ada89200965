"""What a verb's line may hold: the table of verbs as places for words and options.

Positional parameters are words, keyword-only ones are options, the fields of a `Record` are options of their own, a
mapping is `-p key=value` as often as wanted, and a `tuple` takes several words: `--data a b`, or `--data a --data b`.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

from mlex_jupyter.errors import nearest
from mlex_jupyter.faces.arguments import Usage
from mlex_jupyter.types import Record
from mlex_jupyter.verbs import Parameter, Verb, table

EVERYWHERE = {"--json": "Print JSON, one document.", "--help": "Say what this verb takes."}


class Takes(Enum):
    """What an option or a word stands for."""

    ONE = auto()
    MANY = auto()
    PAIRS = auto()
    NOTHING = auto()


@dataclass(frozen=True)
class Slot:
    """A place in a line for a value."""

    path: tuple[str, ...]
    """The parameter, and the field of it where it is a Record."""
    takes: Takes
    type: Any
    """Of one value."""
    default: Any
    required: bool
    positional: bool
    letter: str | None = None
    about: str = ""

    @property
    def name(self) -> str:
        """Its last name, which is the one that people see."""
        return self.path[-1]

    @property
    def word(self) -> str:
        """As it is written: `RUN`, `--pixel-size`."""
        return self.name.upper() if self.positional else "--" + dashed(self.name)


def dashed(name: str) -> str:
    """`import_labels` as it is typed: `import-labels`; `try_` is a word of Python's, and typed as `try`."""
    return name.rstrip("_").replace("_", "-")


@cache
def verbs() -> dict[str, Verb]:
    """The verbs that a line may begin with."""
    from mlex_jupyter.app import Mlex

    return {dashed(name): verb for name, verb in table(Mlex).items() if verb.shell}


def find(word: str) -> Verb:
    """The verb that a word names."""
    found = verbs().get(dashed(word))
    if found is None:
        raise Usage(f"There is no verb {word!r}.", hint=nearest(dashed(word), verbs()) or "See `mlex --help`.")
    return found


@cache
def slots(verb_name: str) -> tuple[Slot, ...]:
    """The places in a verb's line, in the order of its signature."""
    verb = verbs()[verb_name]
    return tuple(slot for parameter in verb.parameters for slot in _slots(verb, parameter))


def _slots(verb: Verb, parameter: Parameter) -> list[Slot]:
    kind = _without_none(parameter.type)
    if isinstance(kind, type) and issubclass(kind, Record):
        return [
            _slot(
                (parameter.name, name),
                info.annotation,
                info.get_default(call_default_factory=True),
                about=info.description,
            )
            for name, info in kind.model_fields.items()
        ]
    letter = verb.flags.get(parameter.name)
    annotation, default = parameter.type, parameter.default
    return [_slot((parameter.name,), annotation, default, parameter.required, parameter.positional, letter)]


def _slot(
    path: tuple[str, ...],
    annotation: Any,
    default: Any,
    required: bool = False,
    positional: bool = False,
    letter: str | None = None,
    about: str | None = None,
) -> Slot:
    kind = _without_none(annotation)
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if annotation is bool:  # one that may be left as it is, `bool | None`, is said: `--enabled no`
        takes, item = Takes.NOTHING, bool
    elif origin is dict:
        takes, item = Takes.PAIRS, inside[1]
    elif origin in (tuple, list):
        takes, item = Takes.MANY, inside[0]
    elif several := _several(kind):
        takes, item = Takes.MANY, several
    else:
        takes, item = Takes.ONE, kind
    return Slot(path, takes, item, default, required, positional, letter, about or ABOUT.get(path[-1], ""))


def _without_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        left = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return left[0] if len(left) == 1 else annotation
    if typing.get_origin(annotation) is typing.Annotated:
        return _without_none(typing.get_args(annotation)[0])
    return annotation


def _several(kind: Any) -> Any:
    """Of one value or several of them, `str | tuple[str, ...]`, the type of one; else None."""
    one, *others = typing.get_args(kind) if isinstance(kind, types.UnionType) else (None,)
    several = [typing.get_args(other) for other in others if typing.get_origin(other) is tuple]
    return one if several == [(one, ...)] else None


# What an argument means, wherever it appears. The fields of Records bring their own descriptions.
ABOUT = {
    "accept": "Take what lies there now for right.",
    "add_tags": "A tag to add, as often as wanted.",
    "after": "Begin when these runs are done.",
    "again": "Also on what comes of its own jobs.",
    "alias": "A word that stands for a version, as `champion`.",
    "architecture": "An architecture of the zoo.",
    "argv": "A script `my.py`, which is copied, or a command; no shell reads it. Its own options come after it.",
    "at_once": "How many trials run at the same time, at most.",
    "axes": "One letter an axis, in order, as `zyx`.",
    "axis": "Across z, y or x: 0, 1 or 2.",
    "citation": "How to cite the model.",
    "class_names": "The name of a class, as often as wanted; value and colour are chosen.",
    "classes": "What the values mean: '{value: 1, name: pore, color: \"#e69f00\"}', as often as wanted.",
    "count": "At most so many.",
    "data": "A dataset; `mlex data` lists them.",
    "description": "A few sentences about it.",
    "do": "What kind of job: train, pretrain, predict or run.",
    "dtype": "The type of the values, as `uint16`.",
    "enabled": "Whether it fires: yes or no.",
    "experiment": "A word that several runs share.",
    "extra": "Anything else that the target takes.",
    "fields": "A field of the task, where {run}, {data} and the like stand for what happened: 'model={run}'.",
    "files": "What will come: {path: scan.zarr/zarr.json, size: 512}.",
    "folder": "Where it runs: an absolute path; left out, where you are, or for a script the job's own folder.",
    "follow": "Go on until the job has ended.",
    "following": "What goes beyond the file belongs to those that were announced after it.",
    "format": "`zarr`, `tiff` or `coco`; left out, by the path's ending.",
    "framework": "Only models of this framework, as `pytorch`.",
    "grey_offset": "What was taken off the grey values before the network saw them.",
    "grey_scale": "What they were divided by then.",
    "here": "Read it now and here, however large it is.",
    "index": "Which slice.",
    "key": "Your own id of this request: asked twice with one key, it is one job.",
    "kind": "`model` or `architecture`.",
    "labels": "A label set of the dataset; `mlex labels DATA` lists them.",
    "license": "The model's licence.",
    "limit": "At most so many.",
    "made_from": "Only what was made from this dataset, label set, model or run.",
    "mapping": "What becomes of a class that goes: `pore=grain`, or `pore=0` to unlabel it.",
    "match": "Only what has this name, with * and ?.",
    "meta": "A note, as `beamline=8.3.2`, as often as wanted.",
    "metric": "What the best is by: `dice`, `iou` or `val_loss`, or what else trainings say of themselves.",
    "metrics": "A comparison, as `'dice>=0.9'`, as often as wanted.",
    "model": "A model or architecture; `mlex models` lists them.",
    "name": "Its name.",
    "note": "Why this version is kept.",
    "off": "Begin switched off, to be tried first.",
    "offset": "Where to begin; negative counts from the end.",
    "on": "What happens: `training done`, `pretraining done`, `prediction done`, `run done`, `job done`, `job failed`, "
    "`job ended`, `dataset registered`, `labels saved` or `model published`.",
    "order": "newest, name or size.",
    "other": "Another version; left out, the newest.",
    "overwrite": "Replace what is there.",
    "owner": "Only what this person registered.",
    "params": "A parameter, as `epochs=4`; `mlex architecture NAME` lists them.",
    "parent": "The model that this one was made from.",
    "partly": "Where somebody painted over it, take the rest.",
    "window": "The window that it was painted in, by the id that came with its strokes; left out, in any.",
    "past": "Go on after this one, the last of the page before.",
    "path": "A file or folder.",
    "piece": "The bytes.",
    "pixel_size": "The size of a pixel.",
    "pixel_unit": "The unit of the pixel size, as `um`.",
    "preset": "Parameters that go together, as `fast`, `balanced` or `best`; `-p` comes on top.",
    "probabilities": "Keep the probability of every class, too.",
    "pruner": "`median`, `hyperband` or `none`: which trials are ended early, since others are better.",
    "query": "Words, or a name with * and ?.",
    "reader": "The reader that opens it, as `zarr`.",
    "refused": "Only those that were refused and wait.",
    "remove": "Take it away.",
    "remove_fields": "A field of the task to take away, as often as wanted.",
    "remove_meta": "The key of a note to take away, as often as wanted.",
    "remove_tags": "A tag to take away, as often as wanted.",
    "rename": "Its new name.",
    "repair": "Make the database anew first, from backup, journal and job folders; the old one is kept.",
    "retries": "How often to start it again after it vanished.",
    "retry_failed": "How often to try again after it failed; the pause before doubles each time.",
    "run": "A run, by id or name; `mlex jobs` lists them.",
    "runs": "Runs, by id or name.",
    "seen": "The version that you saw: changed since by somebody else, it is left alone, and you are told.",
    "sampler": "`tpe`, which learns from the trials before, or `random`.",
    "search_seed": "Another seed is another search; `-p seed=1` is that of the trainings.",
    "seed": "Another seed is another volume.",
    "since": "The id of an event: tell what came after it.",
    "size": "Height and width in pixels.",
    "shards": "How many jobs share the slices; one more makes the table.",
    "slice": "The z of a slice; left out, the one in the middle.",
    "slices": "How many slices; or which: 10, or 10:40, or all.",
    "source": "A file, as `my_model.py` or `my_model.py:Name`; in Python also a class or function.",
    "state": "Only those that stand so.",
    "stroke": "The number of a stroke; `mlex strokes DATA LABELS` lists them.",
    "submitted_since": "Only those asked for since then, as `2026-11-21T09:00Z`.",
    "submitted_until": "Only those asked for before then.",
    "start": "Begin with the weights of this published model or finished run.",
    "tags": "A tag, as often as wanted.",
    "target": "Where it runs; `mlex targets` lists them.",
    "task": "Only those for this task.",
    "texture": "What it looks like: `sand` or `foam`.",
    "thing": "A dataset, label set, model or run, by name or id.",
    "timeout_s": "Give up waiting after so many seconds.",
    "title": "A title for people.",
    "trial": "Only look at what comes out: no dataset is made of it.",
    "trials": "How many trainings there are to be.",
    "upload": "An upload, by its id.",
    "vary": "What to vary: `depth=2:5`, `learning_rate=0.01:0.2:log`, `schedule=cosine,level` or `patch=auto`.",
    "version": "A version; left out, the newest.",
    "visibility": "`private` or `shared`.",
    "wait": "Wait until it has ended, and show how it goes.",
    "where": "Only with this note, as `beamline=8.3.2`, or with a note of that key.",
    "whole": "Look at all of it, however large it is.",
    "word": "A word that stands for a version, as `champion`.",
}
