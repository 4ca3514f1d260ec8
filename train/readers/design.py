"""Who is shown what, where and when: seeded, balanced, and the same for the same seed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from train.readers.study import Design

Scan = tuple[str, str]
"""Case and phase."""


def drawn_items(
    scans: Mapping[Scan, Sequence[str]], *, design: Design, rng: np.random.Generator
) -> dict[str, tuple[Scan, tuple[str, ...]]]:
    """Item → scan and the labels of its images from the left; ``scans``: scan → labels of all its images.

    Items are numbered in random order. Of every two labels, each stands on the left in half of the pairs.
    """
    drawn: list[tuple[Scan, tuple[str, ...]]]
    if design == "single":
        drawn = [(scan, (label,)) for scan, labels in scans.items() for label in labels]
    else:
        by_labels: dict[tuple[str, str], list[Scan]] = defaultdict(list)
        for scan, labels in scans.items():
            for two in combinations(labels, 2):
                by_labels[two].append(scan)
        drawn = []
        for two, found in by_labels.items():
            turned = rng.permutation(np.arange(len(found)) % 2 + rng.integers(2)) % 2
            drawn += [(scan, two[::-1] if turn else two) for scan, turn in zip(found, turned, strict=True)]
    digits = len(str(len(drawn)))
    return {f"{number:0{digits}d}": drawn[place] for number, place in enumerate(rng.permutation(len(drawn)), start=1)}


def reading_order(items: Mapping[str, Scan], *, rng: np.random.Generator) -> tuple[str, ...]:
    """Names of the items in an order in which no scan comes again before all others came.

    So a reader who remembers a scan has seen as many others in between as the study allows.
    """
    of_scan: dict[Scan, list[str]] = defaultdict(list)
    for name, scan in items.items():
        of_scan[scan].append(name)
    rounds: dict[int, list[str]] = defaultdict(list)
    for names in of_scan.values():
        for turn, place in enumerate(rng.permutation(len(names))):
            rounds[turn].append(names[place])
    return tuple(names[place] for _, names in sorted(rounds.items()) for place in rng.permutation(len(names)))
