"""Architectures that people brought as source: checked, listed, versioned by their content, and withdrawn.

The newest text of a name is the architecture; an older one lives on in the runs and models that were made with it.
The server never runs a line of it: it is checked in a process of its own (`learn.check`), and built inside jobs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from typing import Any

from sqlalchemy import Connection, insert, select, update

from mlex_jupyter.errors import Conflict, Forbidden, Invalid, NotFound
from mlex_jupyter.events import append
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row, models, sources
from mlex_jupyter.types import NAME, Architecture, Check, Code, ModelReport, new_id

CHECK_S = 180
SAID = 2000


class Sources:
    """The architectures that stand in this home's database."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    async def all(self) -> list[Architecture]:
        """The newest of every name that is not withdrawn."""
        return await self.store.read(self.listed)

    def listed(self, tx: Connection) -> list[Architecture]:
        """`all`, inside a transaction."""
        query = select(sources.c.record).where(sources.c.withdrawn.is_(None)).order_by(sources.c.created)
        newest = {row["name"]: Architecture.model_validate(row) for row in tx.execute(query).scalars()}
        return [*newest.values()]

    async def find(self, name: str) -> tuple[Architecture, Code] | None:
        """The architecture of this name with its source, or None."""
        row = await self.store.read(lambda tx: _newest(tx, name))
        return None if row is None else (Architecture.model_validate(row.record), Code.model_validate(row.code))

    async def trusted(self, text: str, name: str) -> tuple[Architecture, Code] | None:
        """The architecture that is this very text, listed here by this person or by somebody whom they trust."""
        among = sources.c.owner.in_((self.settings.user, *self.settings.trusted)), sources.c.withdrawn.is_(None)
        same = sources.c.sha256 == hashlib.sha256(text.encode()).hexdigest()
        query = select(sources.c.record, sources.c.code).where(same, *among).order_by(sources.c.created)
        rows = await self.store.read(lambda tx: tx.execute(query).all())
        found = [(row.record, code) for row in rows if (code := Code.model_validate(row.code)).name == name]
        return (Architecture.model_validate(found[0][0]), found[0][1]) if found else None

    def check_trusted(self, owner: str, what: str) -> None:
        """Refuse to run source of somebody whom this person does not trust."""
        if owner != self.settings.user and owner not in self.settings.trusted:
            raise Forbidden(
                f"{what} brings source of {owner}, which would run with your rights.",
                hint=f"Read it: mlex source {what}. If you trust {owner}, set MLEX_TRUSTED={owner}, or `trusted` in"
                " config.yaml, and do it again.",
            )

    # ------------------------------------------------------------ checking

    async def check(self, name: str, code: Code | None = None) -> ModelReport:
        """Try an architecture in a process of its own; whatever it does, there is a report."""
        request = json.dumps({"name": name, "code": code and code.model_dump()})
        with tempfile.TemporaryDirectory(prefix="mlex-check-") as folder:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "mlex_jupyter.learn.own.check"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                start_new_session=True,
            )
            try:
                out, err = await asyncio.wait_for(process.communicate(request.encode()), CHECK_S)
                return ModelReport.model_validate_json(out)
            except TimeoutError:
                reason = f"The check took more than {CHECK_S} s, and was ended."
                mend = "Make it quicker at its defaults: a small network on slices of a few hundred pixels."
            except ValueError:  # it ended without a report, or wrote over it
                last = err.decode(errors="replace")[-SAID:].strip().splitlines()[-1:]
                reason = f"It ended the process that checked it{f': {last[0]}' if last else '.'}"
                mend = "Does it end Python, need too much memory, or crash in a library of C?"
            finally:
                _end(process)
                await process.wait()
        return ModelReport(name=name, ok=False, checks=(Check(name="Process", ok=False, says=reason, mend=mend),))

    # ------------------------------------------------------------ listing

    async def bring(self, code: Code, name: str | None = None) -> ModelReport:
        """Check source and, if it passes, list it; the same text again is the same version, and is not checked anew."""
        name = name or code.name
        if not NAME.fullmatch(name):
            raise Invalid(f"{name[:80]!r} cannot be the name of an architecture.", hint="Use letters, digits, _ and -.")
        await self.store.read(lambda tx: self._check_free(tx, name))
        row = await self.store.read(lambda tx: _newest(tx, name))
        if row is not None and row.sha256 == code.sha256 and row.code["name"] == code.name:
            return ModelReport.model_validate(row.report)
        report = await self.check(name, code)
        if not report.ok or report.architecture is None:
            return report
        architecture = report.architecture.model_copy(update={"owner": self.settings.user})
        report = report.model_copy(update={"listed": True, "architecture": architecture})
        await self.store.write(lambda tx: self._list(tx, code, report))
        return report

    def _list(self, tx: Connection, code: Code, report: ModelReport) -> None:
        self._check_free(tx, report.name)
        assert report.architecture is not None
        values = {
            "record": report.architecture.model_dump(mode="json"),
            "code": code.model_dump(),
            "report": report.model_dump(mode="json"),
            "created": time.time(),
            "withdrawn": None,
        }
        same = sources.c.name == report.name, sources.c.sha256 == code.sha256
        if tx.execute(update(sources).where(*same).values(**values)).rowcount == 0:
            known = {"id": new_id("source"), "name": report.name, "owner": self.settings.user, "sha256": code.sha256}
            tx.execute(insert(sources).values(**known, **values))
        _tell(tx, report.name, "listed", report.architecture.version)

    def _check_free(self, tx: Connection, name: str) -> None:
        """The name must be nobody else's."""
        if name in entry_points("mlex.models"):
            raise Conflict(f"{name} is the name of an installed architecture.", hint="Choose another name.")
        if tx.execute(select(models.c.id).where(models.c.name == name).limit(1)).first():
            raise Conflict(f"{name} is the name of a published model.", hint="Choose another name.")
        others = select(sources.c.owner).where(sources.c.name == name, sources.c.owner != self.settings.user)
        if (owner := tx.execute(others.limit(1)).scalar()) is not None:
            raise Conflict(f"{name} is an architecture of {owner}.", hint="Choose another name.")

    async def withdraw(self, name: str) -> Architecture:
        """List an architecture no longer; runs and models that were made with it keep their source."""

        def work(tx: Connection) -> Architecture:
            row = _newest(tx, name)
            if row is None:
                installed = name in entry_points("mlex.models")
                hint = "Remove its package." if installed else "List them with `mlex architectures`."
                raise NotFound(f"There is no architecture {name!r} that somebody brought.", hint=hint)
            if row.owner != self.settings.user:
                raise Forbidden(f"{name} is an architecture of {row.owner}.", hint=f"Ask {row.owner}.")
            tx.execute(update(sources).where(sources.c.name == name).values(withdrawn=time.time()))
            _tell(tx, name, "withdrawn", row.record["version"])
            return Architecture.model_validate(row.record)

        return await self.store.write(work)


def _newest(tx: Connection, name: str) -> Row | None:
    listed = sources.c.name == name, sources.c.withdrawn.is_(None)
    return tx.execute(select(sources).where(*listed).order_by(sources.c.created.desc()).limit(1)).one_or_none()


def _tell(tx: Connection, name: str, change: str, version: Any) -> None:
    append(tx, name, "architecture", {"name": name, "change": change, "version": version})


def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of it is gone
