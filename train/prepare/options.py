"""What a store is prepared with; the same options on every run into one store."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final, cast

from train.errors import TrainError
from train.prepare.layouts import LAYOUTS, Layout
from train.prepare.reconstruction import DERIVATIONS, Derivation
from train.prepare.registration import METHODS, Method
from train.prepare.words import PHASES, Phase

# Section 1.1 of the S2LDM paper: window width 400 HU at level 0, four fifths training, one fifth validation, no test.
_PAPER_WINDOW_HU: Final = (-200.0, 200.0)
_PAPER_SHARES: Final = (0.8, 0.2, 0.0)
#: Slices, rows, columns of the paper's random crops.
PAPER_CROP: Final = (48, 256, 256)
_WINDOW_HU: Final = (-200.0, 500.0)
_SHARES: Final = (0.7, 0.15, 0.15)


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of ``s2ldm-train prepare``.

    Attributes
    ----------
    window_hu
        The window that models of this store are meant for; the store itself keeps HU unclipped, for metrics beyond it.
    spacing_mm
        The model's grid, ``(dz, dy, dx)``.
    derived
        Which images computed from a scan may be taken (see `train.prepare.reconstruction`).
    shares
        Of patients in train, validation and test; their sum is 1.
    """

    layout: Layout = "auto"
    phases: tuple[Phase, ...] = ("arterial", "venous")
    registration: Method = "bspline"
    shares: tuple[float, float, float] = _SHARES
    seed: int = 0
    window_hu: tuple[float, float] = _WINDOW_HU
    spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5)
    derived: tuple[Derivation, ...] = ()

    def __post_init__(self) -> None:
        _one_of("option_layout", f"There is no layout {self.layout}.", self.layout, LAYOUTS)
        _one_of("option_registration", f"There is no registration {self.registration}.", self.registration, METHODS)
        if not self.phases:
            raise TrainError("option_phases", "No phase was asked for.", f"Choose from {', '.join(PHASES[1:])}.")
        for phase in self.phases:
            _one_of("option_phase", f"There is no phase {phase}.", phase, PHASES[1:])
        for kind in self.derived:
            _one_of("option_derived", f"There is no kind of derived image {kind}.", kind, tuple(DERIVATIONS))
        if min(self.shares) < 0 or not math.isclose(sum(self.shares), 1.0, abs_tol=1e-6) or self.shares[0] == 0:
            raise TrainError(
                "option_split",
                f"The split {'/'.join(f'{share:g}' for share in self.shares)} does not add up to 1 with a share for training.",
                "Give train/validation/test, such as 0.7/0.15/0.15.",
            )
        if not self.window_hu[0] < self.window_hu[1]:
            raise TrainError("option_window", f"The window {self.window_hu} is empty.", "Give the lower end first.")
        if min(self.spacing_mm) <= 0:
            raise TrainError(
                "option_spacing", f"The spacing {self.spacing_mm} is not positive.", "Give dz dy dx in mm."
            )

    @classmethod
    def of(
        cls,
        *,
        layout: str = "auto",
        phases: str = "arterial,venous",
        registration: str = "bspline",
        split: str | None = None,
        seed: int = 0,
        window_hu: tuple[float, float] | None = None,
        spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5),
        derived: str = "",
    ) -> PrepareOptions:
        """From the command line's words; ``mp-act`` brings the paper's window and split where none is given.

        Raises
        ------
        TrainError
            ``option_…`` naming the option and what it may be.
        """
        paper = layout == "mp-act"
        return cls(
            layout=cast(Layout, layout),  # what it may be is checked above
            phases=tuple(dict.fromkeys(cast(Phase, name.strip()) for name in phases.split(",") if name.strip())),
            registration=cast(Method, registration),
            shares=_shares(split) if split else (_PAPER_SHARES if paper else _SHARES),
            seed=seed,
            window_hu=window_hu or (_PAPER_WINDOW_HU if paper else _WINDOW_HU),
            spacing_mm=spacing_mm,
            derived=tuple(dict.fromkeys(cast(Derivation, name.strip()) for name in derived.split(",") if name.strip())),
        )

    def record(self) -> dict[str, object]:
        """As written into the manifest."""
        record: dict[str, object] = {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }
        if not self.derived:  # as stores were begun that knew nothing of it
            del record["derived"]
        if self.layout == "mp-act":
            record["crop"] = list(PAPER_CROP)
        return record


def _one_of(code: str, sentence: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TrainError(code, sentence, f"Choose from {', '.join(allowed)}.")


def _shares(split: str) -> tuple[float, float, float]:
    try:
        train, validation, test = (float(part) for part in split.split("/"))
    except ValueError as error:
        raise TrainError(
            "option_split",
            f"The split {split} is not three numbers.",
            "Give train/validation/test, such as 0.7/0.15/0.15.",
        ) from error
    return train, validation, test
