"""Searching among 100,000 models, in SQLite and in PostgreSQL, each beside a query of nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, insert

from mlex_jupyter.store.tables import models
from mlex_jupyter.types import ClassInfo, Model, Preprocessing
from mlex_jupyter.zoo import index
from tests.bench.asking import Question, over_databases
from tests.bench.figures import Figure

COUNT = 100_000
BATCH = 2000
THINGS = ("sand", "foam", "pore", "grain", "crack", "fibre", "bone", "cell", "rock", "steel", "glass", "resin", "shale")
ENDS = ("", "s", "ing", "ed", "ous", "like")
NETS = ("unet", "tunet", "tunet3plus", "msdnet", "smsnet")
COMMON = (
    "segmentation",
    "of",
    "tomograms",
    "with",
    "a",
    "network",
    "trained",
    "on",
    "labelled",
    "slices",
    "from",
    "the",
)
NEW = 1_780_000_000


def made(number: int, rng: random.Random) -> Model:
    """A model of its own; the same number and seed give the same one. Words and tags are as uneven as people's."""
    thing = rng.choice(THINGS) + rng.choice(ENDS)
    rare = [f"word{int(rng.paretovariate(0.5)) % 50_000}" for _ in range(10)]
    dice = round(rng.betavariate(8, 2), 4)
    net = rng.choice(NETS)
    return Model(
        id=f"model-{number:06d}",
        name=f"{thing}-{net}-{number:06d}",
        version=1,
        title=f"{thing.capitalize()} in {rng.choice(THINGS)}",
        description=" ".join(rng.sample([*COMMON, *rng.choices(THINGS, k=18), *rare], 40)),
        architecture=net,
        params={"depth": rng.randint(2, 6), "base_channels": 16},
        weights="sha256:" + "0" * 64,
        preprocessing=Preprocessing(offset=0, scale=1),
        classes=(ClassInfo(value=1, name=thing, color="#ff0000"), ClassInfo(value=2, name="rest", color="#00ff00")),
        run=f"run-{number:06d}",
        dataset="data-1",
        labels="labels-1",
        metrics={"dice": dice, "val_loss": round(1 - dice, 4)},
        tags=tuple({f"tag{int(rng.paretovariate(0.7)) % 3000}" for _ in range(3)}),
        owner=f"user{int(rng.paretovariate(1)) % 500}",
        visibility="private" if rng.random() < 0.2 else "shared",
        created=datetime.fromtimestamp(NEW + number * 60, timezone.utc),
    )


def fill(tx: Connection, count: int) -> None:
    """Put the models into a database, by the path that publishing takes, many at once."""
    rng = random.Random(7)
    for start in range(0, count, BATCH):
        found = [made(number, rng) for number in range(start, min(start + BATCH, count))]
        same = {"id", "name", "version", "run", "owner", "visibility"}
        rows = [
            one.model_dump(include=same)
            | {
                "record": one.model_dump(mode="json"),
                "created": one.created.timestamp(),
                "indexed": index.VERSION,
            }
            for one in found
        ]
        tx.execute(insert(models), rows)
        index.put(tx, found)


Asked = dict[str, Any]
KINDS: dict[str, Callable[[random.Random], Asked]] = {
    "all models": lambda rng: {},
    "a word in every model": lambda rng: {"query": rng.choice(("segmentation", "tomograms", "network"))},
    "its beginning": lambda rng: {"query": rng.choice(("s", "seg", "segmentatio", "tomo", "w"))},
    "two common words": lambda rng: {"query": f"{rng.choice(COMMON)} {rng.choice(THINGS)}"},
    "a rare word": lambda rng: {"query": f"word{rng.randrange(50_000)}"},
    "a name": lambda rng: {"query": f"{rng.choice(THINGS)}-{rng.choice(NETS)}-{rng.randrange(COUNT):06d}"},
    "the beginning of a name": lambda rng: {"query": rng.choice(THINGS)[:3]},
    "nothing": lambda rng: {"query": f"nothing{rng.randrange(1000)}"},
    "a word and a tag": lambda rng: {"query": "network", "tags": (f"tag{rng.randrange(1, 3000)}",)},
    "a word and an owner": lambda rng: {"query": "slices", "owner": f"user{rng.randrange(1, 500)}"},
    "a word, a network and Dice": lambda rng: {
        "query": rng.choice(THINGS), "architecture": rng.choice(NETS), "metrics": ("dice>=0.9",)
    },
    "a rare Dice": lambda rng: {"query": "labelled", "metrics": (f"dice>={rng.uniform(0.99, 0.999):.4f}",)},
    "a Dice that nearly all have": lambda rng: {"metrics": ("dice>=0.5",)},
    "a page further on": lambda rng: {"past": f"0.{_number(rng)}"},
    "a further page of a word": lambda rng: {"query": "network", "past": f"2.{_number(rng)}"},
}  # fmt: skip


def _number(rng: random.Random) -> int:
    """The place of one of the models in every list."""
    return index.FIRST - int(16 * (NEW + rng.randrange(COUNT) * 60 + index.MONTH_S * rng.random()))


def _question(asked: Callable[[random.Random], Asked]) -> Callable[[random.Random], Question]:
    def of(rng: random.Random) -> Question:
        said = asked(rng)
        return lambda mlex: mlex.zoo.search(**said)

    return of


def figures() -> Sequence[Figure]:
    """The figures of all databases that are on this machine."""
    kinds = {kind: _question(asked) for kind, asked in KINDS.items()}
    return over_databases(f"{COUNT:,} models", lambda tx: fill(tx, COUNT), kinds)
