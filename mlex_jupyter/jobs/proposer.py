"""The process that says what a tuning tries next: started when it is needed, ended with whoever asks it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from mlex_jupyter.errors import MlexError

ANSWER_S = 120.0
LONGEST = 1 << 24


class Proposer:
    """Asks `learn.proposing`, a line at a time; one that hangs or dies is replaced at the next question."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What it answers; an error where it does not, or cannot."""
        process = await self._there()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            line = await asyncio.wait_for(process.stdout.readline(), ANSWER_S)
            said: dict[str, Any] = json.loads(line)
        except (TimeoutError, ValueError, OSError) as error:
            await self.end()
            raise MlexError("What to try next could not be worked out: its process gave no answer.") from error
        if "error" in said:
            raise MlexError(f"What to try next could not be worked out: {said['error']}")
        return said

    async def _there(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            command = (sys.executable, "-P", "-m", "mlex_jupyter.learn.proposing")
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LONGEST)
        return self._process

    async def end(self) -> None:
        """Let go of it; without anybody who asks it goes by itself as well."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
