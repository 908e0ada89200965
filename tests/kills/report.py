"""What a run of the harness did, and what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass
class Report:
    """Clean when its four last lists are empty."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict)
    """From outside, by what was killed."""
    failpoints: dict[str, int] = field(default_factory=dict)
    """From inside, by where."""
    acknowledged: int = 0
    predictions: int = 0
    trainings: int = 0
    label_sets: int = 0
    followed: int = 0
    """Jobs that a rule made."""
    asked_again: int = 0
    """Requests made again because no answer came."""
    posted_twice: int = 0
    """Requests made again although they had been answered."""
    attempts: int = 0
    seconds: float = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """All kills, from outside and at failpoints."""
        return sum(self.kills.values()) + sum(self.failpoints.values())

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing twice, none stuck, every result right."""
        return not (self.lost or self.twice or self.stuck or self.wrong)

    def text(self) -> str:
        """The report for people."""
        return json.dumps({"killed": self.killed, "clean": self.clean, **asdict(self)}, indent=2)
