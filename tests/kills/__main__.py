"""`python -m tests.kills --kills 60 --seed 1`: the report, and exit code 1 when it is not clean."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kills.harness import main

parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
parser.add_argument("--kills", type=int, default=60)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--home", type=Path, help="kept afterwards; without it, a temporary one")
given = parser.parse_args()

with tempfile.TemporaryDirectory(prefix="mlex-kills-") as temporary:
    home = given.home or Path(temporary)
    home.mkdir(parents=True, exist_ok=True)
    report = main(given.kills, given.seed, home, lambda line: print(line, file=sys.stderr, flush=True))
print(report.text())
sys.exit(0 if report.clean else 1)
