"""What a run was made of: versions, commit, data and their licences."""

import json
import platform
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from s2ldm_core.documents import read_document
from s2ldm_core.errors import DocumentError
from train.errors import TrainError
from train.phantoms import HELD_OUT
from train.store import PairStore

_PACKAGES = ("s2ldm-node", "torch", "monai", "accelerate", "numpy", "scipy")
_PHANTOM = "digital torso phantom (s2ldm_core.phantom)"
_LICENCES = {_PHANTOM: "none needed: synthetic, no patient data"}
_LONGEST_REFERENCE = 200
ANSWERED_BY = "answered_by"
"""Of a case whose phases are answers (`train.distilling`): who gave them, and source and licence of what these learned from."""
ANSWERS_TO = "answers_to"
"""Of such a case: the checksum of the one that was asked."""


def versions() -> dict[str, str]:
    """Versions of Python, this product and what its numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_commit(folder: Path | None = None) -> str | None:
    """Commit of the checkout that ``folder`` (this file's) lies in, read from ``.git`` itself; ``None`` outside of one."""
    start = (folder or Path(__file__)).resolve()
    for parent in (start, *start.parents):
        git = parent / ".git"
        if git.is_file():  # a worktree: "gitdir: <path>"
            git = parent / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        if git.is_dir():
            return _head(git)
    return None


def _head(git: Path) -> str | None:
    head = git / "HEAD"
    if not head.is_file():
        return None
    text = head.read_text(encoding="utf-8").strip()
    if not text.startswith("ref:"):
        return text
    name = text.removeprefix("ref:").strip()[:_LONGEST_REFERENCE]
    common = git / "commondir"
    folders = [git, git / common.read_text(encoding="utf-8").strip()] if common.is_file() else [git]
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").strip()
        packed = folder / "packed-refs"
        if packed.is_file():
            for line in packed.read_text(encoding="utf-8").splitlines():
                commit, _, reference = line.partition(" ")
                if reference == name:
                    return commit
    return None


def describe_data(*stores: PairStore) -> dict[str, Any]:
    """The training data as a package's metadata name them: how many cases of which sources, under which licences.

    What a case does not say of itself, its store's ``source.yaml`` may say of all: ``source`` and ``licence``. A case that the stores hold
    twice, to be drawn more often, counts once.

    Raises
    ------
    TrainError
        ``source_invalid``.
    """
    about = list({digest: item for store in stores for digest, item in told_of(store)}.values())
    counts = Counter((_source(item), str(item.get("licence") or _LICENCES.get(_source(item), ""))) for item in about)
    sources = [
        {"source": source, "licence": licence, "cases": count} for (source, licence), count in sorted(counts.items())
    ]
    described: dict[str, Any] = {
        "source": "; ".join(source for source in dict.fromkeys(str(item["source"]) for item in sources)),
        "sources": sources,
        "cases": len(about),
        "patients": len({store[i].patient for store in stores for i in range(len(store))}),
    }
    seeds = [int(item["seed"]) for item in about if _source(item) == _PHANTOM and "seed" in item]
    if seeds:
        described["seeds"] = seeds
    if teachers := {teacher: data for item in about for teacher, data in item.get(ANSWERED_BY, {}).items()}:
        described[ANSWERED_BY] = teachers
    return described


def told_of(store: PairStore) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of every case, in the store's order, its checksum, and what it and its store say of it.

    Raises
    ------
    TrainError
        ``source_invalid``.
    """
    said = _said(store.folder / "source.yaml")
    for i, name in enumerate(store.names):
        record = json.loads((store.folder / name / "case.json").read_text(encoding="utf-8"))
        yield store.digest_of(store[i]), {**said, **record.get("about", {})}


def _said(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        found = read_document(path).values
    except DocumentError as error:
        raise TrainError("source_invalid", error.sentence, "Write two lines: source: …, licence: ….") from error
    if not isinstance(found, dict) or set(found) - {"source", "licence"}:
        raise TrainError(
            "source_invalid", f"{path} holds more than source and licence.", "Write two lines: source: …, licence: …."
        )
    return {key: str(value) for key, value in found.items()}


def refuse_held_out(store: PairStore) -> None:
    """The phantoms that every evaluation is made on are no training data, of any split's name.

    Raises
    ------
    TrainError
        ``held_out_seed``.
    """
    wrong = [seed for seed in describe_data(store).get("seeds", ()) if seed >= HELD_OUT]
    if wrong:
        raise TrainError(
            "held_out_seed",
            f"{len(wrong)} of the training cases in {store.folder} are phantoms that are kept for evaluation (seed {wrong[0]}).",
            f"Train on seeds below {HELD_OUT}; a model that has seen these would be judged on what it learnt.",
        )


def _source(about: dict[str, Any]) -> str:
    """A case's origin: its own ``source``, or the anatomy it was made from, else the procedural phantom, which writes a seed alone."""
    for key in ("source", "anatomy", "layout"):
        if about.get(key):
            mode = f" ({about['mode']})" if about.get("mode") else ""
            return f"{about[key]}{mode}"
    return _PHANTOM if set(about) <= {"seed", ANSWERED_BY, ANSWERS_TO} else "unnamed pairs"
