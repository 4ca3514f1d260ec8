"""Kills one after the other, a line of JSON for each; what a file of lines says already is not done again."""

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kills.invariant import check_rest, check_series, leftovers
from tests.kills.points import Point
from tests.kills.scene import MissedError, Scene, rest
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
    together
        How many kills there are from one rest to the next; each has series of its own.
    seed
        What order, which node and which moment follow from, with the number of kills before.
    """

    world: World
    kind: str
    points: Sequence[Point]
    seed: int
    lines: Path
    together: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None
    sendings: list[Sending] = field(default_factory=list)

    def run(self, kills: int, *, seconds: float = math.inf) -> list[dict[str, Any]]:
        """Kill until ``kills`` of this kind are in the file, or ``seconds`` have passed; the lines of this run.

        Raises
        ------
        PeerError
            Something does not come to rest, or does not start; the lines are written.
        """
        made: list[dict[str, Any]] = []
        done = killed(read_lines(self.lines), self.kind)
        deck = self._deck(done)
        until = time.monotonic() + seconds
        while done < kills and time.monotonic() < until:
            group = self._group([next(deck) for _ in range(self.together)], done, wanted=kills - done)
            for line in group:
                made.append(line)
                done += len(line["victims"])
                self._write(line)
                self.say(
                    f"{done:4d} {line['point']:42s} {line['seconds']:6.1f} s {line['ended']} {line['wrong'] or ''}"
                )
            if group and group[-1]["stuck"]:
                raise PeerError(group[-1]["stuck"])
        # Once more everything that was ever acknowledged.
        wrong = check_series(self.world, self.sendings).wrong
        if wrong:
            made.append({"kind": self.kind, "point": "all together", "victims": [], "wrong": wrong, "stuck": ""})
            self._write(made[-1])
        return made

    def _group(self, points: Sequence[Point], done: int, *, wanted: int) -> list[dict[str, Any]]:
        """Some kills one after the other, then rest, and a look at everything; a line for each."""
        world = self.world
        resent = sum(one.times - 1 for one in world.accepted().values())
        scenes: list[Scene] = []
        lines: list[dict[str, Any]] = []
        stuck = ""
        try:
            for point in points:
                if sum(len(one.victims) for one in scenes) >= wanted:
                    break
                world.make_ready()
                began, spent = time.monotonic(), world.processor_seconds()
                number = done + sum(len(one.victims) for one in scenes)
                scenes.append(self._scene(point, number))
                self._strike(point, scenes[-1])
                lines.append(
                    {
                        "kind": self.kind,
                        "number": number + len(scenes[-1].victims),
                        "point": point.name,
                        "node": scenes[-1].name,
                        "victims": scenes[-1].victims,
                        "seconds": round(time.monotonic() - began, 1),
                        "processor_seconds": round(world.processor_seconds() - spent, 1),
                    }
                )
            began, spent = time.monotonic(), world.processor_seconds()
            rest(world, [one for scene in scenes for one in scene.sendings])
        except PeerError as error:
            stuck = str(error)
            if len(lines) < len(scenes):
                point = points[len(lines)]
                lines.append({"kind": self.kind, "point": point.name, "victims": scenes[-1].victims, "seconds": 0.0})
        finally:
            for scene in scenes:
                scene.close()
        found = check_rest(world)
        for scene, line in zip(scenes, lines, strict=False):
            findings = check_series(world, scene.sendings)
            self.sendings += scene.sendings
            line |= {
                "series": len(scene.sendings),
                "acknowledged": sum(len(one.acknowledged) for one in scene.sendings),
                "ended": dict(findings.ended),
                "resent": 0,
                "wrong": findings.wrong,
                "stuck": "",
            }
        if not lines:
            lines = [{"kind": self.kind, "point": "start", "victims": [], "ended": {}, "wrong": [], "seconds": 0.0}]
        last = lines[-1]
        last |= {
            "resent": found.resent - resent,
            "wrong": [*last.get("wrong", []), *found.wrong],
            "stuck": stuck,
            "left": leftovers(world),
            "rest_seconds": round(time.monotonic() - began, 1),
            "rest_processor_seconds": round(world.processor_seconds() - spent, 1),
            "at": round(time.time()),
        }
        return [line for line in lines if line["victims"] or line["wrong"] or line["stuck"]]

    def _scene(self, point: Point, number: int) -> Scene:
        dice = random.Random(f"{self.seed} {self.kind} {number} {point.name}")  # noqa: S311 (which moment, no secret)
        run = f"{self.world.folder} {time.time_ns()}"  # series of their own in every run
        series = tuple(make_series(f"{run} {one}") for one in range(_SERIES_EACH))
        name = dice.choice(self.world.names)
        return Scene(world=self.world, random=dice, name=name, series=series, extra=self.extra)

    def _strike(self, point: Point, scene: Scene) -> None:
        scene.prepare()
        try:
            point.strike(scene)
        except MissedError as missed:
            self.say(f"     {point.name}: {missed}")
        scene.recover()

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
    """A table by kind and point, and the sums; below it what belongs to no point alone."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for line in lines:
        row = rows.setdefault((line["kind"], line["point"]), Counter())
        row["kills"] += len(line["victims"])
        row["series"] += line.get("series", 0)
        row["delivered"] += sum(count for how, count in line.get("ended", {}).items() if how.startswith("done"))
        row["wrong"] += len(line["wrong"]) + bool(line.get("stuck"))
    columns = ("kills", "series", "delivered", "wrong")
    table = ["| kind | point | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for (kind, point), row in sorted(rows.items()):
        table.append(f"| {kind} | {point} | " + " | ".join(str(row[one]) for one in columns) + " |")
    total: Counter[str] = sum(rows.values(), Counter())
    table.append("| all | | " + " | ".join(str(total[one]) for one in columns) + " |")
    reasons: Counter[str] = Counter()
    for line in lines:
        reasons.update({how: count for how, count in line.get("ended", {}).items() if how != "done"})
    spent = sum(line.get(name, 0.0) for line in lines for name in ("processor_seconds", "rest_processor_seconds"))
    return [
        *table,
        "",
        f"acknowledged: {sum(line.get('acknowledged', 0) for line in lines)} images",
        f"sent again, as no row knew of their acceptance: {sum(line.get('resent', 0) for line in lines)} images",
        f"ended otherwise than delivered whole at once: {dict(reasons)}",
        f"processor seconds for a kill: {spent / max(1, total['kills']):.1f}",
    ]
