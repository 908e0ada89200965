"""The database's tables: each keeps its record as JSON beside the few columns that are searched."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
)
from sqlalchemy.types import JSON

from mlex_jupyter.textsearch import searched

metadata = MetaData()

BYTEWISE = String().with_variant(String(collation="C"), "postgresql")
"""A text that is sorted letter by letter, so that all words with one beginning stand in a row."""

WHOLE = BigInteger().with_variant(Integer(), "sqlite")
"""A number of 64 bits; SQLite's INTEGER is one, and counts up by itself under no other name."""

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", WHOLE, nullable=False))

events = Table(
    "events",
    metadata,
    Column("id", WHOLE, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("subject", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("values", JSON, nullable=False),
    Index("events_of_a_subject", "subject", "id"),
    sqlite_autoincrement=True,
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("record", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("owner", String),
    Column("reader", String),
    Column("dtype", String),
    Column("axes", String),
    Column("nbytes", BigInteger),
    Column("indexed", Integer, nullable=False, server_default="0"),  # the version of dataindex that wrote the index
    Index("datasets_by_time", "created", "id"),
    Index("datasets_by_size", "nbytes", "id"),
    Index("datasets_by_index", "indexed"),
    Index("datasets_by_sort", "reader", "dtype", "axes", "owner"),
)

dataset_terms = Table(
    "dataset_terms",
    metadata,
    Column("dataset", String, primary_key=True),
    Column("field", String, primary_key=True),  # tag, meta
    Column("term", BYTEWISE, primary_key=True),
    Index("datasets_by_term", "field", "term", "dataset"),
)

# Datasets as they are searched: the smallest number is the newest. Each order has an index that covers the row.
dataset_index = searched(
    Table(
        "dataset_index",
        metadata,
        Column("number", WHOLE, primary_key=True, autoincrement=False),
        Column("dataset", String, nullable=False, unique=True),
        Column("name", BYTEWISE, nullable=False),
        Column("nbytes", BigInteger, nullable=False),
        Column("tokens", String, nullable=False),
        Index("dataset_index_by_number", "number", "name", "nbytes", "dataset"),
        Index("dataset_index_by_name", "name", "number", "nbytes", "dataset"),
        Index("dataset_index_by_size", "nbytes", "number", "name", "dataset"),
    )
)

# Datasets that are not listed any more; registered again, they are what they were.
forgotten = Table(
    "forgotten",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, index=True),
    Column("uri", String, nullable=False, index=True),
    Column("record", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("time", Float, nullable=False),
)

# What was made from what.
edges = Table(
    "edges",
    metadata,
    Column("child", String, primary_key=True),
    Column("parent", String, primary_key=True),
    Column("detail", String, nullable=False, server_default=""),
    Index("edges_by_parent", "parent", "child"),
)

labels = Table(
    "labels",
    metadata,
    Column("id", String, nullable=False),
    Column("dataset", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("record", JSON, nullable=False),
    Column("balance", JSON),  # labelled pixels by z and value
    Column("created", Float, nullable=False),
    UniqueConstraint("dataset", "name", "version"),
)

models = Table(
    "models",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("run", String, nullable=False),
    Column("record", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("withdrawn", Float),
    Column("owner", String),
    Column("visibility", String),
    Column("indexed", Integer, nullable=False, server_default="0"),  # the version of modelsearch that wrote the index
    UniqueConstraint("name", "version"),
    UniqueConstraint("name", "run"),
    Index("models_by_index", "indexed"),
    Index("models_by_time", "created"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", String, primary_key=True),
    Column("alias", String, primary_key=True),
    Column("version", Integer, nullable=False),
    info={"journal": True},
)

exchange_entries = Table(
    "exchange_entries",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("record", JSON, nullable=False),
    Column("created", Float, nullable=False),
    info={"journal": True},
)

# The newest listed version of each model, as it is searched.
zoo_index = searched(
    Table(
        "zoo_index",
        metadata,
        Column("number", WHOLE, primary_key=True, autoincrement=False),
        Column("name", String, nullable=False, unique=True),
        Column("tokens", String, nullable=False),
        Column("entry", JSON, nullable=False),
    )
)

zoo_metrics = Table(
    "zoo_metrics",
    metadata,
    Column("metric", String, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("value", Float, nullable=False),
    Index("zoo_metrics_by_number", "number"),
    Index("zoo_metrics_by_value", "metric", "value"),
)

sources = Table(
    "sources",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("record", JSON, nullable=False),  # the architecture
    Column("code", JSON, nullable=False),
    Column("report", JSON, nullable=False),  # of its check
    Column("created", Float, nullable=False),
    Column("withdrawn", Float),
    UniqueConstraint("name", "sha256"),
)

rules = Table(
    "rules",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("record", JSON, nullable=False),
    Column("enabled", Integer, nullable=False),
    Column("cursor", WHOLE, nullable=False),  # the last event that it has dealt with
    Column("fired", Integer, nullable=False, server_default="0"),
    Column("last_fired", Float),
    Column("message", String),
    Column("created", Float, nullable=False),
)

tunings = Table(
    "tunings",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("key", String),
    Column("request", JSON, nullable=False),
    Column("record", JSON, nullable=False),
    Column("file", JSON, nullable=False),  # the job of every trial, but for its id, its name and what is varied
    Column("state", String, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("message", String),
    Column("created", Float, nullable=False),
    UniqueConstraint("owner", "key"),
    Index("tunings_by_state", "state"),
    Index("tunings_by_time", "created"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", WHOLE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False, index=True),
    Column("owner", String, nullable=False),
    Column("target", String, nullable=False),
    Column("key", String),
    Column("request", JSON, nullable=False),  # as it was asked for
    Column("file", JSON, nullable=False),  # complete: job.json
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("message", String),
    Column("hint", String),
    Column("native_id", String),
    Column("host", String),  # that alone can see its process; none where any can ask its target
    Column("attempt", Integer, nullable=False, default=0),
    Column("asked", Integer, nullable=False, default=1),  # the attempt that somebody wants
    Column("cancel", Integer, nullable=False, default=0),  # attempts up to this one are to be cancelled
    Column("cancel_reason", String),  # where it was no person who wanted it
    Column("failures", Integer, nullable=False, server_default="0"),  # attempts that failed and are tried again
    Column("not_before", Float),  # when the next attempt may begin
    Column("blocked", Integer, nullable=False, server_default="0"),  # 1: it stands aside, whatever room there is
    Column("vanished", Integer, nullable=False, default=0),  # attempts that ended without a word
    Column("submitted", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("seen", Float),
    Column("exit_code", Integer),
    Column("progress", JSON),
    Column("metrics", JSON, nullable=False, default=dict),
    Column("outputs", JSON, nullable=False, default=list),
    Column("offset", WHOLE, nullable=False, default=0),  # bytes of events.jsonl that are in `events`
    Column("experiment", String),
    Column("task", String),  # its kind; none where an older version wrote the row
    Column("model", String),
    Column("data", String),
    UniqueConstraint("owner", "key"),
    Index("jobs_by_state", "state", "number"),
    Index("jobs_in_front", "state", "target", "blocked", "number"),
    Index("jobs_wished_off", "state", "cancel"),
    Index("jobs_by_pause", "not_before"),
    Index("jobs_by_task", "task", "number"),
    Index("jobs_by_name", "name", "number"),
    Index("jobs_by_model", "model", "number"),
    Index("jobs_by_data", "data", "number"),
    Index(
        "jobs_sought",
        *("number", "state", "name", "owner", "target", "experiment", "task", "model", "data", "submitted"),
    ),
    Index("jobs_by_experiment", "experiment", "number"),
    sqlite_autoincrement=True,
)
# Names whatever their case, for patterns; each database looks up in its own way only what is indexed in that way.
Index("jobs_by_letters", jobs.c.name.collate("NOCASE"), jobs.c.state, jobs.c.number).ddl_if(dialect="sqlite")
Index(
    "jobs_by_letters",
    func.lower(jobs.c.name.collate("C")),
    jobs.c.state,
    jobs.c.number,
    postgresql_include=["name"],
).ddl_if(dialect="postgresql")

# The jobs whose end others stand aside for.
awaited = Table(
    "awaited",
    metadata,
    Column("job", String, primary_key=True),
    Column("parent", String, primary_key=True),
    Index("awaited_by_parent", "parent", "job"),
)

label_drafts = Table(
    "label_drafts",
    metadata,
    Column("labels", String, primary_key=True),
    Column("dataset", String, nullable=False),
    Column("name", String, nullable=False),
    Column("shape", JSON, nullable=False),  # z, y and x
    Column("classes", JSON, nullable=False),
    Column("base", Integer, nullable=False),  # the version that the draft stands on
    Column("number", Integer, nullable=False),  # of the last entry in its history
    Column("changed", Integer, nullable=False),  # the last number that changed labels or classes
    Column("saved", Integer, nullable=False),  # the last number that is in the base
    Column("floor", Integer, nullable=False),  # the number at which it was put on another base
    Column("time", Float),
    UniqueConstraint("dataset", "name"),
)

label_tiles = Table(
    "label_tiles",
    metadata,
    Column("labels", String, primary_key=True),
    Column("z", Integer, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("col", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("packed", LargeBinary),  # null: as in the base
    Index("label_tiles_across_y", "labels", "row", "z"),
    Index("label_tiles_across_x", "labels", "col", "z"),
    Index("label_tiles_by_version", "labels", "version"),
)

label_slices = Table(
    "label_slices",
    metadata,
    Column("labels", String, primary_key=True),
    Column("z", Integer, primary_key=True),
    Column("counts", JSON, nullable=False),  # labelled pixels of the draft by value
)

label_strokes = Table(
    "label_strokes",
    metadata,
    Column("labels", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("author", String, nullable=False),
    Column("window", String),  # in which it was painted; each has its own steps back
    Column("key", String),
    Column("digest", String),  # of what was asked with that key
    Column("of", Integer),
    Column("pixels", Integer, nullable=False, default=0),
    Column("tiles", JSON, nullable=False, default=list),
    Column("request", LargeBinary),  # of a refused stroke: all of it
    Column("time", Float, nullable=False),
    UniqueConstraint("labels", "author", "key"),
    Index("label_strokes_of_an_author", "labels", "author", "state", "number"),
)

label_changes = Table(
    "label_changes",
    metadata,
    Column("labels", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("z", Integer, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("col", Integer, primary_key=True),
    Column("packed", LargeBinary, nullable=False),
)

# The last number of each stem that names of jobs are made of.
stems = Table(
    "stems",
    metadata,
    Column("stem", String, primary_key=True),
    Column("last", Integer, nullable=False),
)

Row = Any
"""A row of a query: its columns by name."""
