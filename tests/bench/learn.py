"""`make bench-learn [ARGS="learn_predict"]`: prediction beside the best that the machine can do, and beside others.

Prints one table and writes build/bench-learn.json. One thread computes. What is compared takes turns, so that whatever
else the machine does falls on all alike; the load is said.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.bench.__main__ import line
from tests.bench.figures import Figure

PROGRAMS = ("learn_predict", "learn_memory", "learn_shards")
FILE = Path("build/bench-learn.json")


def main(names: Sequence[str]) -> int:
    """0 when every limit is kept."""
    print(f"load {_load()} on {os.cpu_count()} cores")
    print(f"{'':48} {'measured':>12} {'baseline':>12} {'ratio':>7} {'limit':>12}   beside")
    figures: list[Figure] = []
    for name in names or PROGRAMS:
        for figure in import_module(f"tests.bench.{name}").figures():
            figures.append(figure)
            print(line(figure), flush=True)
    print(f"load {_load()} at the end")
    FILE.parent.mkdir(exist_ok=True)
    said = [asdict(figure) | {"ratio": figure.ratio, "kept": figure.kept} for figure in figures]
    FILE.write_text(json.dumps({"load": _load(), "cores": os.cpu_count(), "figures": said}, indent=2) + "\n")
    return 0 if all(figure.kept for figure in figures) else 1


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
