"""Kills one after the other, a line of JSON for each; what a file of lines says already is not done again."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kills.invariant import Findings, check, leftovers
from tests.kills.points import Point
from tests.kills.scene import MissedError, Scene
from tests.kills.sender import Sending
from tests.kills.series import make_series
from tests.kills.world import World
from tests.peers import PeerError

#: Sent side by side at every kill.
_SERIES_EACH = 2


@dataclass(kw_only=True)
class Campaign:
    """Kills in one world.

    Attributes
    ----------
    points
        What is killed, in turns of their own order each time round.
    seed
        What order, which node and which moment follow from, with the number of kills before.
    """

    world: World
    kind: str
    points: Sequence[Point]
    seed: int
    lines: Path
    extra: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None
    sendings: list[Sending] = field(default_factory=list)

    def run(self, kills: int) -> list[dict[str, Any]]:
        """Kill until ``kills`` of this kind are in the file; the lines of this run.

        Raises
        ------
        PeerError
            Something does not come to rest, or does not start; the line is written.
        """
        made: list[dict[str, Any]] = []
        done = killed(read_lines(self.lines), self.kind)
        deck = self._deck(done)
        while done < kills:
            line = self._one(next(deck), number=done)
            if line is None:
                continue
            made.append(line)
            done += len(line["victims"])
            self._write(line)
            self.say(f"{done:4d} {line['point']:42s} {line['seconds']:6.1f} s {line['ended']} {line['wrong'] or ''}")
            if line["stuck"]:
                raise PeerError(line["stuck"])
        if made:
            last = check(self.world, self.sendings)
            if last.wrong:
                self._write({"kind": self.kind, "point": "all together", "victims": [], "wrong": last.wrong})
                made.append({"wrong": last.wrong})
        return made

    def _one(self, point: Point, *, number: int) -> dict[str, Any] | None:
        """One kill; None if its moment was missed."""
        dice = random.Random(f"{self.seed} {self.kind} {number} {point.name}")  # noqa: S311 (which moment, no secret)
        world = self.world
        world.make_ready()
        began, spent = time.monotonic(), world.processor_seconds()
        name = dice.choice(world.names)
        run = world.folder.name
        series = tuple(make_series(f"{run} {self.kind} {number} {point.name} {one}") for one in range(_SERIES_EACH))
        scene = Scene(world=world, random=dice, name=name, series=series, extra=self.extra)
        stuck, findings = "", Findings()
        resent = sum(one.times - 1 for one in world.accepted().values())
        try:
            scene.prepare()
            try:
                point.strike(scene)
            except MissedError as missed:
                self.say(f"     {point.name}: {missed}")
            scene.recover()
            scene.rest()
        except PeerError as error:
            stuck = str(error)
        finally:
            scene.close()
        findings = check(world, scene.sendings)
        self.sendings += scene.sendings
        if not scene.victims and not findings.wrong and not stuck:
            return None
        return {
            "kind": self.kind,
            "number": number + len(scene.victims),
            "point": point.name,
            "node": name,
            "victims": scene.victims,
            "seconds": round(time.monotonic() - began, 1),
            "processor_seconds": round(world.processor_seconds() - spent, 1),
            "series": len(scene.sendings),
            "acknowledged": sum(len(one.acknowledged) for one in scene.sendings),
            "ended": dict(findings.ended),
            "resent": findings.resent - resent,
            "left": leftovers(world),
            "wrong": findings.wrong,
            "stuck": stuck,
            "at": round(time.time()),
        }

    def _deck(self, done: int) -> Iterator[Point]:
        turn = 0
        while True:
            order = list(self.points)
            random.Random(f"{self.seed} {self.kind} {done} {turn}").shuffle(order)  # noqa: S311
            yield from order
            turn += 1

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.lines.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of earlier runs."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def killed(lines: Sequence[Mapping[str, Any]], kind: str | None = None) -> int:
    """How many processes (or connections) were killed."""
    return sum(len(line["victims"]) for line in lines if kind in (None, line["kind"]))


def summary(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table by point, and the sums."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for line in lines:
        row = rows.setdefault((line["kind"], line["point"]), Counter())
        row["kills"] += len(line["victims"])
        row["series"] += line.get("series", 0)
        row["delivered"] += sum(count for how, count in line.get("ended", {}).items() if how.startswith("done"))
        row["resent"] += line.get("resent", 0)
        row["wrong"] += len(line["wrong"]) + bool(line.get("stuck"))
    columns = ("kills", "series", "delivered", "resent", "wrong")
    table = ["| kind | point | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    table += [
        f"| {kind} | {point} | " + " | ".join(str(row[one]) for one in columns) + " |"
        for (kind, point), row in sorted(rows.items())
    ]
    total: Counter[str] = sum(rows.values(), Counter())
    table.append("| all | | " + " | ".join(str(total[one]) for one in columns) + " |")
    return table
