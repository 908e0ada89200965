"""`make bench [ARGS="latency startup"]`: run the programs, print one table, write build/bench.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.bench.figures import Figure

PROGRAMS = ("startup", "latency", "submissions", "many", "search")
FILE = Path("build/bench.json")


def main(names: Sequence[str]) -> int:
    """0 when every limit is kept."""
    print(f"{'':36} {'measured':>12} {'baseline':>12} {'limit':>10}   beside")
    figures: list[Figure] = []
    for name in names or PROGRAMS:
        for figure in import_module(f"tests.bench.{name}").figures():
            figures.append(figure)
            print(line(figure), flush=True)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps([asdict(figure) | {"kept": figure.kept} for figure in figures], indent=2) + "\n")
    return 0 if all(figure.kept for figure in figures) else 1


def line(figure: Figure) -> str:
    """One line of the table."""
    limit = "" if figure.limit is None else f"{figure.limit:g} {figure.unit}"
    mark = "" if figure.limit is None else "✔" if figure.kept else "✖"
    numbers = f"{figure.value:>9.3g} {figure.unit:2} {figure.baseline:>9.3g} {figure.unit:2}"
    return f"{figure.name:36} {numbers} {limit:>10} {mark:1} {figure.against}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
