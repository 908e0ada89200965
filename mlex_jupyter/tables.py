"""The database's tables: each keeps its record as JSON beside the few columns that are searched."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.types import JSON

metadata = MetaData()

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", Integer, nullable=False))

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
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
)

labels = Table(
    "labels",
    metadata,
    Column("id", String, nullable=False),
    Column("dataset", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("record", JSON, nullable=False),
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
    UniqueConstraint("name", "version"),
    UniqueConstraint("name", "run"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
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
    Column("attempt", Integer, nullable=False, default=0),
    Column("asked", Integer, nullable=False, default=1),  # the attempt that somebody wants
    Column("cancel", Integer, nullable=False, default=0),  # attempts up to this one are to be cancelled
    Column("vanished", Integer, nullable=False, default=0),  # attempts that ended without a word
    Column("submitted", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("seen", Float),
    Column("exit_code", Integer),
    Column("progress", JSON),
    Column("metrics", JSON, nullable=False, default=dict),
    Column("outputs", JSON, nullable=False, default=list),
    Column("offset", Integer, nullable=False, default=0),  # bytes of events.jsonl that are in `events`
    UniqueConstraint("owner", "key"),
    Index("jobs_by_state", "state", "number"),
    sqlite_autoincrement=True,
)

Row = Any
"""A row of a query: its columns by name."""
