"""How well regions are told, each real patient left out of training in turn."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from s2ldm_core.regions.classifier import Classifier
from s2ldm_core.regions.features import REGIONS
from s2ldm_core.regions.series import TORSO, RegionJudgement, judge_regions
from train.regions.dataset import Slices, arrays
from train.regions.example import Example

#: Patients with single slices are left out together, in so many groups.
_GROUPS = 4
_LONG = 5


@dataclass(frozen=True)
class Tested:
    """A real series judged by a classifier that never saw its patient."""

    example: Example
    judgement: RegionJudgement

    @property
    def wanted(self) -> np.ndarray:
        """``(D,)`` bool: slices that are torso."""
        return np.isin(self.example.regions, [index for index, name in enumerate(REGIONS) if name in TORSO])

    @property
    def exact(self) -> int:
        """Slices with exactly the labelled region."""
        return sum(REGIONS[want] == got for want, got in zip(self.example.regions, self.judgement.regions, strict=True))


def leave_out(tests: Sequence[Example], slices: Sequence[Slices], fit: Callable[..., Classifier]) -> Iterator[Tested]:
    """Judge each test series by a classifier fitted without its patient."""
    for group in _folds(tests):
        classifier = fit(*arrays(one for one in slices if one.patient not in group))
        for test in tests:
            if test.patient in group:
                yield Tested(test, judge_regions(test.hu, test.spacing_mm, classifier=classifier))


def _folds(tests: Sequence[Example]) -> list[set[str]]:
    patients = list(dict.fromkeys(test.patient for test in tests))
    long = [one for one in patients if any(len(test.hu) >= _LONG for test in tests if test.patient == one)]
    short = [one for one in patients if one not in long]
    return [*({one} for one in long), *(set(short[start::_GROUPS]) for start in range(min(_GROUPS, len(short))))]


def wilson(hits: int, count: int, *, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def table(tested: Iterable[Tested]) -> str:
    """Markdown: a row a series, and the sums."""
    results = list(tested)
    lines = ["| series | slices | told as torso | right region | answer |", "| --- | --- | --- | --- | --- |"]
    for one in results:
        inside = sum(torso >= 0.5 for torso in one.judgement.torso)
        answer = one.judgement.problem.code if one.judgement.problem else "torso"
        lines.append(f"| {one.example.name} | {len(one.wanted)} | {inside} | {one.exact} | {answer} |")
    for name, want in (("torso", True), ("not torso", False)):
        right = [(one.wanted == want) & ((np.array(one.judgement.torso) >= 0.5) == want) for one in results]
        hits, count = sum(int(part.sum()) for part in right), sum(int((one.wanted == want).sum()) for one in results)
        chosen = [one for one in results if bool(one.wanted.mean() > 0.5) == want]
        good = sum((one.judgement.problem is None) == want for one in chosen)
        lines.append(f"\n{name}: {_share(hits, count)} of slices, {_share(good, len(chosen))} of series")
    return "\n".join(lines)


def _share(hits: int, count: int) -> str:
    low, high = wilson(hits, count)
    return f"{hits} of {count} ({low:.1%} to {high:.1%})"
