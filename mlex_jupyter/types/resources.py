"""What a job asks of the place where it runs."""

from __future__ import annotations

from pydantic import Field

from mlex_jupyter.types.base import Record


class Resources(Record):
    """What a job asks of its target."""

    cpus: int | None = Field(None, ge=1, le=4096, description="Processor cores; left out, what suits the target.")
    gpus: int | None = Field(None, ge=0, le=1024, description="Whole GPUs; left out, what suits the target.")
    memory_gb: float = Field(
        4, gt=0, le=100_000, description="Memory in GB: what the run keeps to, and what a scheduler holds it to."
    )
    minutes: int | None = Field(None, ge=1, description="Time limit in minutes; the run saves and stops before it.")
    nodes: int = Field(1, ge=1, le=10_000, description="Machines.")
    queue: str | None = Field(None, description="Partition or queue of the target.")
    extra: dict[str, str] = {}
