"""``python -m tests.kills``: see the package's first lines."""

import argparse
import math
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kills.campaign import Campaign, read_lines, summary
from tests.kills.kinds import KINDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign or show what it found; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how many there shall be in the file, of this kind")
    kinds = parser.add_mutually_exclusive_group()
    for name in KINDS:
        kinds.add_argument(f"--{name}", dest="kind", action="store_const", const=name, default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; go on another time")
    parser.add_argument("--together", type=int, default=3, help="how many kills there are from one rest to the next")
    parser.add_argument(
        "--json", type=Path, default=Path("kills.jsonl"), help="a line for each; continued if it is there"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the nodes live, and what they leave stays; default: a temporary one"
    )
    parser.add_argument("--point", action="append", help="only these (part of the name); may be given several times")
    parser.add_argument("--show", action="store_true", help="only show what is in the file, as a table")
    asked = parser.parse_args(arguments)
    if asked.show:
        say("\n".join(summary(read_lines(asked.json))))
        return 0
    # So that what was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kind = KINDS[asked.kind]
    points = [one for one in kind.points if not asked.point or any(part in one.name for part in asked.point)]
    with _folder(asked.folder) as folder, kind.make(folder) as (world, extra):
        campaign = Campaign(
            world=world,
            kind=asked.kind,
            points=points,
            seed=asked.seed,
            lines=asked.json,
            together=asked.together,
            extra=extra,
            say=say,
        )
        lines = campaign.run(asked.kills, seconds=60 * asked.minutes)
    return int(any(line["wrong"] for line in lines))


def say(text: str) -> None:
    """Show a line now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    if named is not None:
        named.mkdir(parents=True)
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
