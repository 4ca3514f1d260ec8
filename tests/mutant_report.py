"""What a run of mutants says of a node."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Report:
    """What was sent, what was answered, and what should not have been."""

    objects: int = 0
    conversations: int = 0
    companions: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    most_kib: dict[str, int] = field(default_factory=dict)
    slowest_sound_seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    examining_seconds: float = 0.0
