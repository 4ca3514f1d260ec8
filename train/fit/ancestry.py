"""What packages that were made of other packages were trained on: their sources, and those packages, each with what it came from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from s2ldm_core.package import ModelPackage, PackageMetadata
from train.fit.provenance import ANSWERED_BY

STARTED_FROM = "started_from"
"""Of a package's training data: the entry of the package whose weights it began with."""
MEMBERS = "members"
"""Of an ensemble's training data: the entries of the packages that answer in it."""


def entry(meta: PackageMetadata) -> dict[str, Any]:
    """What a package's descendants say of it."""
    return {
        "name": meta.name,
        "version": meta.version,
        "weights_sha256": meta.weights_sha256,
        "training_data": meta.training_data,
    }


def line(meta: PackageMetadata) -> dict[str, Mapping[str, Any]]:
    """Digest of the weights → entry: of the package itself and of each that its weights came from, the latest first."""
    found: dict[str, Mapping[str, Any]] = {}
    one: Mapping[str, Any] = entry(meta)
    while one:
        found[str(one["weights_sha256"])] = one
        one = one["training_data"].get(STARTED_FROM, {})
    return found


def merged(packages: Iterable[ModelPackage]) -> dict[str, Any]:
    """Sources, seeds and teachers of several packages as training data of one. A source that two name counts the cases of the one that has
    more: they may be the same."""
    data = [package.metadata.training_data for package in packages]
    sources: dict[str, Mapping[str, Any]] = {}
    for one in chain.from_iterable(each.get("sources", []) for each in data):
        known = sources.get(one["source"], {})
        sources[one["source"]] = {**one, "cases": max(int(one["cases"]), int(known.get("cases", 0)))}
    teachers = {teacher: learned for each in data for teacher, learned in each.get(ANSWERED_BY, {}).items()}
    return {
        "source": "; ".join(sources),
        "sources": list(sources.values()),
        "seeds": sorted({seed for each in data for seed in each.get("seeds", [])}),
        **({ANSWERED_BY: teachers} if teachers else {}),
    }


def taught_on(meta: PackageMetadata) -> list[dict[str, str]]:
    """Source and licence of all that a package, its members, their teachers and the packages that they came from were trained on."""
    found: dict[str, str] = {}
    for data in _all_data(meta.training_data):
        for one in chain(data.get("sources", ()), *data.get(ANSWERED_BY, {}).values()):
            found.setdefault(str(one["source"]), str(one.get("licence", "")))
    return [{"source": source, "licence": licence} for source, licence in found.items()]


def _all_data(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield data
    before: Sequence[Mapping[str, Any]] = [*data.get(MEMBERS, ()), *filter(None, [data.get(STARTED_FROM)])]
    for one in before:
        yield from _all_data(one.get("training_data", {}))
