"""Cases of a store that its studies or table no longer hold: taken out, so that nobody trains on them."""

import json
import shutil
from pathlib import Path
from typing import Final

from train.errors import TrainError
from train.prepare.case import MADE_BY, PICTURES, REJECTED
from train.prepare.pairing import Rejection

_MOST: Final = 0.5


def withdraw(output: Path, *, keep: set[str]) -> list[Rejection]:
    """Remove the cases that ``prepare`` made and that are not among ``keep``, with their pictures; says which.

    Raises
    ------
    TrainError
        ``store_shrinks`` when that would be more than half of the store: the studies are then more likely not all there.
    """
    cases = [path.parent for path in sorted(output.glob("*/case.json")) if _made_here(path)]
    gone = [folder for folder in cases if folder.name not in keep]
    if len(gone) > _MOST * len(cases):
        raise TrainError(
            "store_shrinks",
            f"{len(gone)} of the {len(cases)} cases in {output} are not among these studies.",
            "Check that the studies and the table are complete; to take the cases out all the same, remove their folders first.",
        )
    refused = [path.parent for path in output.glob(f"*/{REJECTED}") if path.parent.name not in keep]
    for folder in {*gone, *refused}:
        for picture in (output / PICTURES).glob(f"{folder.name}-*.png"):
            picture.unlink()
        (folder / "case.json").unlink(missing_ok=True)  # first: without it there is no case, whatever happens next
        shutil.rmtree(folder)
    return [
        Rejection(
            place=folder.name,
            phase="",
            code="withdrawn",
            reason="the studies or the table no longer hold it, so it was taken out of the store",
        )
        for folder in gone
    ]


def _made_here(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["about"]["made_by"] == MADE_BY)
    except (ValueError, KeyError, TypeError):  # damaged: the manifest says so by name
        return False
