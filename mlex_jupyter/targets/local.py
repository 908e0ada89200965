"""Jobs as processes of this machine, with slots for cores and GPUs.

A native id is `<pid>@<start>`: the process's number and the tick at which it began, so that a number used again is
not taken for the job. The processes themselves say which folder and which GPUs they have, so nothing is kept here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import psutil

from mlex_jupyter.errors import TargetError
from mlex_jupyter.lease import outside_of_jobs
from mlex_jupyter.settings import Settings
from mlex_jupyter.targets.base import Seen
from mlex_jupyter.types import JobFile, JobState, TargetInfo

OURS = "mlex_jupyter.learn.run"


class Run(NamedTuple):
    """A process that runs an attempt of a job."""

    job: str
    attempt: int
    native_id: str


class LocalTarget:
    """The machine that this runs on."""

    name = "local"
    here = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    async def submit(self, job: JobFile, folder: str, command: Sequence[str]) -> str:
        """Start the command in a session of its own, so that it outlives whoever started it."""
        if command[-1] != "1":  # an earlier attempt may have left something running, however it went
            _end_leftovers(job.id)
        gpus = self._free_gpus()[: self._gpus_of(job)]
        if len(gpus) < self._gpus_of(job):
            raise TargetError("The GPUs are used by another home's jobs.", transient=True)
        environment = {
            **outside_of_jobs(os.environ),
            "MLEX_JOB": job.id,
            "MLEX_CPUS": str(cores(job, self.settings)),
            "OMP_NUM_THREADS": str(cores(job, self.settings)),
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
            "PYTHONUNBUFFERED": "1",
        }
        if job.spec.resources.minutes:
            environment["MLEX_TIME_LIMIT_S"] = str(job.spec.resources.minutes * 60)
        try:
            with open(Path(folder) / "log.txt", "ab") as log:
                child = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            short = error.errno in (errno.EAGAIN, errno.ENOMEM)  # of processes or memory: there may be some soon
            message = f"The job could not be started: {error.strerror}."
            raise TargetError(message, hint="Run `mlex doctor`.", transient=short) from error
        native_id = f"{child.pid}@{_began(child.pid) or 0}"
        self._children[native_id] = child
        return native_id

    async def find(self, job_id: str, attempt: int) -> str | None:
        """Look for the attempt's own process, by the folder and number in its command line."""
        for process, command in _our_processes():
            if Path(command[-2]).name == job_id and command[-1] == str(attempt):
                return f"{process.pid}@{_began(process.pid) or 0}"
        return None

    def present(self) -> list[Run]:
        """The runs of this home that are here now, whoever started them."""
        home = str(self.settings.home / "jobs")
        return [
            Run(Path(command[-2]).name, int(command[-1]), f"{process.pid}@{_began(process.pid) or 0}")
            for process, command in _our_processes()
            if os.path.dirname(command[-2]) == home and command[-1].isdigit()
        ]

    async def states(self, native_ids: Collection[str]) -> Mapping[str, Seen]:
        """Running, ended with an exit code (children of this process), or gone."""
        return {native_id: self._state(native_id) for native_id in native_ids}

    def _state(self, native_id: str) -> Seen:
        if child := self._children.get(native_id):
            code = child.poll()
            if code is None:
                return Seen(state=JobState.RUNNING)
            return Seen(state=JobState.FAILED if code else JobState.DONE, exit_code=code, reason=_in_words(code))
        pid, _, start = native_id.partition("@")
        if _began(int(pid)) == int(start):
            return Seen(state=JobState.RUNNING)
        return Seen(state=JobState.LOST, reason="its process is gone")

    async def cancel(self, native_id: str, *, force: bool = False) -> None:
        """SIGTERM to the run, which saves; with force SIGKILL to it and to all that it started, if it is gone too."""
        number, _, start = native_id.partition("@")
        pid, began = int(number), _began(int(number))
        if began == int(start) and not force:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        elif began in (int(start), None) and force:  # a number is not given again while its session lives
            for process in _session(pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)

    def forget(self, native_id: str) -> None:
        """The job has ended, and nobody will ask again."""
        self._children.pop(native_id, None)

    def room(self, job: JobFile, others: Collection[JobFile]) -> str | None:
        """None when there are cores and GPUs for the job beside the others; else why it waits."""
        if job.spec.resources.nodes > 1:
            return "this computer is one machine"
        total, taken = self.settings.local_cpus, sum(cores(other, self.settings) for other in others)
        if taken + cores(job, self.settings) > total:
            return f"{taken} of {total} cores are in use (Resources)"
        gpus = sum(self._gpus_of(other) for other in others)
        if gpus + self._gpus_of(job) > len(self._gpus):
            return f"{gpus} of {len(self._gpus)} GPUs are in use (Resources)"
        return None

    async def info(self) -> TargetInfo:
        """Cores and GPUs of this machine, and what running jobs leave of them."""
        home = str(self.settings.home)
        mine = [process for process, command in _our_processes() if command[-2].startswith(home)]
        used = sum(int(_variable(process, "MLEX_CPUS") or 1) for process in mine)
        cpus = self.settings.local_cpus
        return TargetInfo(
            name=self.name,
            kind="local",
            title="This computer",
            ready=True,
            cpus=cpus,
            cpus_free=max(0, cpus - used),
            gpus=len(self._gpus),
            gpus_free=len(self._free_gpus()),
            memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        )

    # ------------------------------------------------------------ GPUs

    @cached_property
    def _gpus(self) -> list[int]:
        if self.settings.local_gpus is not None:
            return list(range(self.settings.local_gpus))
        given = outside_of_jobs(os.environ).get("CUDA_VISIBLE_DEVICES", "all").split(",")
        if given != ["all"]:
            return [int(number) for number in given if number.isdigit()]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True)
            return list(range(len(listed.stdout.splitlines())))
        return []

    def _gpus_of(self, job: JobFile) -> int:
        """How many a job takes: what it asks for, else one for learning where there is one."""
        asked = job.spec.resources.gpus
        return asked if asked is not None else min(1, len(self._gpus)) * (job.spec.task.kind != "run")

    def _free_gpus(self) -> list[int]:
        if not self._gpus:
            return []
        taken = [_variable(process, "CUDA_VISIBLE_DEVICES") or "" for process, _ in _our_processes()]
        busy = {int(gpu) for gpus in taken for gpu in gpus.split(",") if gpu.isdigit()}
        return [gpu for gpu in self._gpus if gpu not in busy]


def cores(job: JobFile, settings: Settings) -> int:
    """How many cores a job takes here: what it asks for, else all for learning and one for a command."""
    return job.spec.resources.cpus or (1 if job.spec.task.kind == "run" else settings.local_cpus)


def _our_processes() -> Iterator[tuple[psutil.Process, list[str]]]:
    """The runs on this machine: `python -m mlex_jupyter.learn.run FOLDER ATTEMPT`, zombies aside."""
    for process in psutil.process_iter(["cmdline", "uids"]):
        command, uids = process.info["cmdline"] or [], process.info["uids"]
        if len(command) >= 4 and command[-3] == OURS and uids and uids.real == os.getuid():
            yield process, command


def _end_leftovers(job_id: str) -> None:
    """Kill what runs of this job started; they all have its id among their variables."""
    for process in psutil.process_iter(["uids"]):
        uids = process.info["uids"]
        if uids and uids.real == os.getuid() and _variable(process, "MLEX_JOB") == job_id:
            with contextlib.suppress(psutil.Error):
                process.kill()


def _session(leader: int) -> Iterator[int]:
    """The processes of a session, its leader living or not."""
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                yield pid


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except (psutil.Error, OSError):
        return None


def _began(pid: int) -> int | None:
    """The tick at which a process began; None when there is no such process, or only its zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start = after_name[0], after_name[19]
    return None if state in "ZX" else int(start)


def _in_words(code: int) -> str | None:
    if code == -signal.SIGKILL:
        return "killed, perhaps for lack of memory (SIGKILL)"
    if code < 0:
        return f"ended by a signal ({signal.Signals(-code).name})"
    return f"exit code {code}" if code else None
