"""The made-up patient: build, age, circulation and injection, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream `name` of phantom `seed`; streams are independent of one another."""
    return np.random.default_rng(np.random.SeedSequence([int(seed) & 0xFFFFFFFFFFFFFFFF, crc32(name.encode())]))


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Who is scanned and how the contrast medium was given.

    visceral_fat and muscle are relative to the average adult (0 lean .. 1 much; muscle 0.7 .. 1.25).
    Times are seconds, cardiac_output in L/min, iodine in mg per kg body weight.
    """

    age: int
    sex: str
    height_cm: float
    bmi: float
    subcutaneous_fat_mm: float
    visceral_fat: float
    muscle: float
    muscle_fat: float
    liver_fat: float
    arms_up: bool
    haematocrit: float
    cardiac_output: float
    iodine_mg_per_kg: float
    injection_seconds: float
    timing_jitter_seconds: float

    @property
    def weight_kg(self) -> float:
        return self.bmi * (self.height_cm / 100.0) ** 2

    @classmethod
    def draw(cls, seed: int) -> Patient:
        """Draw the patient of phantom `seed`."""
        rng = stream(seed, "patient")
        sex = "F" if rng.random() < 0.48 else "M"
        age = int(np.clip(rng.normal(58, 16), 19, 92))
        height = float(np.clip(rng.normal(164 if sex == "F" else 177, 7), 148, 195))
        bmi = float(np.clip(rng.gamma(22.0, 1.2), 17.5, 42.0))
        excess = (bmi - 18.0) / 22.0
        share = float(np.clip(rng.normal(0.62 if sex == "F" else 0.4, 0.15), 0.1, 0.9))
        return cls(
            age=age,
            sex=sex,
            height_cm=height,
            bmi=bmi,
            subcutaneous_fat_mm=float(np.clip(4 + 46 * excess * share + rng.normal(0, 2), 3.0, 48.0)),
            visceral_fat=float(
                np.clip(0.05 + 1.3 * excess * (1 - share) + 0.002 * (age - 50) + rng.normal(0, 0.06), 0, 1)
            ),
            muscle=float(np.clip(rng.normal(1.0 if sex == "M" else 0.88, 0.1) - 0.003 * (age - 50), 0.65, 1.25)),
            muscle_fat=float(np.clip(0.004 * (age - 30) + 0.25 * excess + rng.normal(0, 0.1), 0.0, 0.8)),
            liver_fat=float(np.clip(rng.gamma(0.8, 0.13) + 0.12 * max(0.0, excess - 0.35), 0.0, 0.75)),
            arms_up=bool(rng.random() < 0.82),
            haematocrit=float(np.clip(rng.normal(0.43 if sex == "M" else 0.39, 0.035), 0.25, 0.52)),
            cardiac_output=float(np.clip(rng.lognormal(np.log(5.6), 0.16), 3.4, 9.0)),
            iodine_mg_per_kg=float(np.clip(rng.normal(500, 45), 380, 620)),
            injection_seconds=float(np.clip(rng.normal(29, 3), 20, 38)),
            timing_jitter_seconds=float(np.clip(rng.normal(0, 1.8), -5, 5)),
        )


REFERENCE = Patient(
    age=55,
    sex="M",
    height_cm=174.0,
    bmi=25.0,
    subcutaneous_fat_mm=14.0,
    visceral_fat=0.35,
    muscle=1.0,
    muscle_fat=0.1,
    liver_fat=0.05,
    arms_up=True,
    haematocrit=0.42,
    cardiac_output=5.6,
    iodine_mg_per_kg=500.0,
    injection_seconds=29.0,
    timing_jitter_seconds=0.0,
)
"""The patient to whom the enhancement table of `tissues` belongs."""
