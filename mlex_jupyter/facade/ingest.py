"""Networks of one's own: try them, list them, read them, withdraw them."""

from __future__ import annotations

from pathlib import Path

from mlex_jupyter.errors import Invalid
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import Architecture, Code, ModelReport
from mlex_jupyter.verbs import verb


class IngestVerbs(Parts):
    """What can be done with an architecture that one wrote."""

    @verb()
    async def check(self, model: str | Code) -> ModelReport:
        """Try a network: an architecture, a file `my_model.py[:Name]`, or a class or function of a cell."""
        if isinstance(model, str) and _is_file(model):
            model = _read(model)
        return await self.examine(code=model) if isinstance(model, Code) else await self.examine(architecture=model)

    @verb()
    async def ingest(self, source: str | Code, *, name: str | None = None) -> ModelReport:
        """Check a file `my_model.py[:Name]` or a class of a cell, and list it among the architectures."""
        code = _read(source) if isinstance(source, str) else source
        report = await self.bring(code=code, name=name)
        if not report.ok:
            failed = next(check for check in report.checks if not check.ok)
            said = f"{report.name} is not listed, for it fails a check. {failed.name}: {failed.says}"
            raise Invalid(said, hint=failed.mend or "`mlex check` shows all that was tried.")
        return report

    @verb("POST", "/checks", shell=False)
    async def examine(self, *, architecture: str | None = None, code: Code | None = None) -> ModelReport:
        """Try an architecture by its name, or source, in a process of its own."""
        if (architecture is None) == (code is None):
            raise Invalid("Give the name of an architecture, or source.")
        if code is None and architecture is not None:
            found, code = await self.architecture_list.buildable(architecture)
            if found.owner is not None:
                self.sources.check_trusted(found.owner, found.name)
        return await self.sources.check(architecture or (code.name if code else ""), code)

    @verb("POST", "/architectures", status=201, shell=False)
    async def bring(self, code: Code, *, name: str | None = None) -> ModelReport:
        """Check source and, if it passes, list it; the same text again is the same version."""
        return await self.sources.bring(code, name)

    @verb("GET", "/source/{name}")
    async def source(self, name: str, *, version: int | None = None) -> Code:
        """Print the source that an architecture, or a model in the zoo, brings."""
        if version is None and (found := await self.sources.find(name)) is not None:
            return found[1]
        return await self.zoo.source(await self.zoo.model(name, version))

    @verb("POST", "/architectures/{name}/withdraw")
    async def withdraw(self, name: str) -> Architecture:
        """List an architecture that you brought no longer; runs and models made with it keep their source."""
        return await self.sources.withdraw(name)


def _is_file(said: str) -> bool:
    return said.partition(":")[0].endswith(".py")


def _read(said: str) -> Code:
    from mlex_jupyter.capture import code_of_file

    path, _, name = said.partition(":")
    return code_of_file(Path(path).expanduser(), name or None)
