"""The body's layers: skin, subcutaneous fat, the ring of the trunk wall, the cavities; and the frame organs refer to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.fields import SplineField
from s2ldm_core.phantom.patient import Patient, stream
from s2ldm_core.phantom.shapes import CONTOUR_ANGLES, CONTOUR_STEP, CONTOUR_Z0, CONTOUR_Z1, Formula, Region

_SPINE_Z = (-300, -260, -220, -165, -120, -80, -40, 0, 50, 100, 150, 200, 250, 290, 330, 400)
_SPINE_Y = (72, 84, 76, 44, 31, 26, 27, 32, 40, 48, 52, 49, 42, 35, 32, 34)

# z, half-width, front, back (mm from the atlas axis), power: the surface of the muscles and the inside of the trunk wall.
_MUSCLE = np.array(
    [
        (-420, 165, 62, 85, 2.6),
        (-360, 168, 68, 95, 2.6),
        (-325, 168, 68, 106, 2.5),
        (-290, 162, 70, 108, 2.4),
        (-230, 150, 79, 102, 2.4),
        (-160, 136, 84, 92, 2.35),
        (-100, 129, 82, 87, 2.3),
        (-40, 129, 86, 88, 2.25),
        (20, 133, 94, 92, 2.25),
        (80, 140, 98, 98, 2.3),
        (140, 147, 94, 103, 2.35),
        (190, 153, 86, 105, 2.35),
        (230, 160, 68, 100, 2.3),
        (255, 160, 56, 92, 2.1),
        (275, 118, 48, 82, 2.0),
        (300, 72, 46, 68, 2.0),
        (340, 56, 50, 60, 2.0),
        (420, 54, 50, 58, 2.0),
    ]
)
_CAVITY = np.array(
    [
        (-420, 1, 1, 1, 2),
        (-330, 20, 20, 35, 2),
        (-300, 46, 44, 62, 2.0),
        (-270, 58, 58, 72, 2.1),
        (-230, 82, 72, 72, 2.3),
        (-190, 105, 76, 64, 2.3),
        (-160, 113, 77, 57, 2.3),
        (-100, 116, 74, 53, 2.3),
        (-40, 116, 78, 62, 2.3),
        (20, 120, 86, 72, 2.3),
        (80, 125, 90, 80, 2.3),
        (140, 121, 82, 86, 2.35),
        (190, 108, 66, 85, 2.3),
        (225, 88, 46, 74, 2.1),
        (255, 60, 28, 54, 2.0),
        (278, 34, 14, 32, 2.0),
        (290, 8, 6, 12, 2.0),
        (300, 1, 1, 1, 2),
        (420, 1, 1, 1, 2),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Body:
    """The patient's trunk in atlas space, as every painter needs it."""

    seed: int
    patient: Patient
    dome_mm: float  # level of the diaphragm relative to the mean (inspiration lowers it)
    fat: float  # visceral fat, 0..1

    @classmethod
    def of(cls, patient: Patient, *, seed: int) -> Body:
        rng = stream(seed, "body")
        return cls(
            seed=seed, patient=patient, dome_mm=float(np.clip(rng.normal(0, 9), -18, 18)), fat=patient.visceral_fat
        )

    def rng(self, name: str) -> np.random.Generator:
        return stream(self.seed, name)

    @staticmethod
    def spine_y(z: float) -> float:
        """Return the y of the vertebral bodies' centre at level z."""
        return float(np.interp(z, _SPINE_Z, _SPINE_Y))

    def contours(self) -> dict[str, np.ndarray]:
        """Return the polar radius tables (z, angle) of skin, muscle surface and cavity, mm."""
        rng = self.rng("contours")
        z = np.arange(CONTOUR_Z0, CONTOUR_Z1 + CONTOUR_STEP, CONTOUR_STEP)
        angle = np.arange(CONTOUR_ANGLES) * (2 * np.pi / CONTOUR_ANGLES)
        belly = np.exp(-(((z + 60.0) / 95.0) ** 2))
        fat, muscle = self.fat, self.patient.muscle
        grow = {"front": 34.0 * (fat - 0.35) * belly, "side": 16.0 * (fat - 0.35) * belly}
        cavity = self._superellipse(_CAVITY, z, angle, grow)
        wall = self._superellipse(_MUSCLE, z, angle, grow)
        # The wall is thinner where muscles are weak; the cavity keeps its size.
        trunk = np.clip((z + 260.0) / 60.0, 0, 1)[:, None] * np.clip((290.0 - z) / 40.0, 0, 1)[:, None]
        wall = np.where(trunk > 0, wall + trunk * (wall - cavity) * (0.75 * (muscle - 1.0)), wall)
        back = np.minimum(np.abs(angle - np.pi / 2), np.abs(angle - np.pi / 2 - 2 * np.pi))
        groove = 7.0 * np.exp(-((back / 0.09) ** 2)) - 3.5 * np.exp(-(((back - 0.33) / 0.15) ** 2))
        wall = wall - groove * np.clip((z + 250) / 40, 0, 1)[:, None] * np.clip((240 - z) / 40, 0, 1)[:, None]
        thick = self.patient.subcutaneous_fat_mm
        front = np.minimum(np.abs(angle - 1.5 * np.pi), 1.0)
        flank = np.abs(np.cos(angle))
        level = np.interp(
            z,
            (-400, -300, -230, -150, -80, 0, 80, 150, 230, 270, 400),
            (1.1, 1.25, 1.35, 1.2, 1.1, 0.85, 0.6, 0.5, 0.45, 0.35, 0.35),
        )
        female = self.patient.sex == "F"
        around = (
            0.75
            + 0.25 * flank
            + (0.45 if female else 0.3) * np.exp(-((front / 0.5) ** 2))
            - 0.3 * np.exp(-((back / 0.25) ** 2))
        )
        fat_mm = thick * level[:, None] * around[None, :]
        # Gluteal fat, breasts, and a smooth irregularity.
        fat_mm += (
            thick * 0.9 * np.exp(-(((z + 270) / 45.0) ** 2))[:, None] * np.exp(-(((back - 0.55) / 0.4) ** 2))[None, :]
        )
        if female:
            size = rng.uniform(12, 26) + 0.55 * thick
            breast = np.exp(-((np.abs(np.abs(angle - 1.5 * np.pi) - 0.72) / 0.42) ** 2.6))
            fat_mm += size * np.exp(-(np.abs((z - 128) / 42.0) ** 2.5))[:, None] * breast[None, :]
        wave = SplineField(rng, spacing_mm=(70.0, 60.0, 60.0)).grid((z, 90 * np.sin(angle), np.zeros(1)))[0, :, :, 0]
        wave += SplineField(rng, spacing_mm=(70.0, 60.0, 60.0)).grid((z, 90 * np.cos(angle), np.zeros(1)))[0, :, :, 0]
        fat_mm = np.maximum(fat_mm * (1.0 + 0.08 * wave), 2.5)
        return {
            "cavity": cavity.astype(np.float32),
            "muscle": wall.astype(np.float32),
            "skin": (wall + fat_mm + 2.0).astype(np.float32),
        }

    @staticmethod
    def _superellipse(knots: np.ndarray, z: np.ndarray, angle: np.ndarray, grow: dict[str, np.ndarray]) -> np.ndarray:
        side, front, back, power = (np.interp(z, knots[:, 0], knots[:, i])[:, None] for i in (1, 2, 3, 4))
        # Rounded knots: a running mean over 40 mm.
        kernel = np.hanning(43)[1:-1] / np.hanning(43)[1:-1].sum()
        side, front, back, power = (
            np.convolve(np.pad(v[:, 0], 20, mode="edge"), kernel, mode="valid")[:, None]
            for v in (side, front, back, power)
        )
        side = side + np.where(side > 30, grow["side"][:, None], 0.0)
        front = front + np.where(front > 30, grow["front"][:, None], 0.0)
        depth = np.where(np.sin(angle)[None, :] < 0, front, back)
        f = (np.abs(np.cos(angle)) / side) ** power + (np.abs(np.sin(angle)) / depth) ** power
        return f ** (-1.0 / power)

    def dome(self, region: Region) -> np.ndarray:
        """Return the height of the diaphragm (atlas z, mm) over each voxel."""
        depth = region.depth("cavity")
        y2 = ((region.y + 5.0) / 95.0) ** 2
        right = 77.0 - 30.0 * ((region.x + 66.0) / 90.0) ** 2
        left = 63.0 - 30.0 * ((region.x - 62.0) / 90.0) ** 2
        height = np.maximum(right, left) - 62.0 * y2 * np.sqrt(y2)
        height -= (1.6 / 30.0) * np.maximum(30.0 - depth, 0.0) ** 2
        return height + np.float32(self.dome_mm)

    def abdomen(self, *, inset_mm: float, margin_mm: float = 3.0) -> Formula:
        """Return the space inside the trunk wall and below the diaphragm."""
        return Formula(
            limits=(-150, 150, -130, 100, -330, 110),
            function=lambda r: np.minimum(r.depth("cavity") - inset_mm, self.dome(r) - margin_mm - r.z),
        )


def paint_layers(canvas: Canvas, body: Body) -> None:
    """Paint skin, fat, the muscular wall with its layers, and the cavities' fat."""
    region = canvas.region
    everything = (slice(None),) * 3
    skin = region.depth("skin")
    canvas.fill(everything, skin, "skin")
    canvas.fill(everything, skin - 2.0, "subcutaneous_fat")
    del skin
    wall = region.depth("muscle")
    rng = body.rng("layers")
    weave = SplineField(rng, spacing_mm=(16.0, 9.0, 9.0)).grid(canvas.axes)[0]
    canvas.fill(everything, wall, "intermuscular_fat")
    inside = region.depth("cavity")
    # Below the ribs three flat muscles, thin towards the groin; between the ribs the intercostals; elsewhere single
    # muscles are painted later.
    flat = np.minimum(wall, inside + 13.0 + 1.5 * np.maximum(region.z + 165.0, 0.0))
    flat = np.minimum(flat, np.minimum(region.z + 198.0 - 0.5 * region.y, 25.0 - region.z))
    canvas.fill(everything, flat, "oblique_muscles")
    del flat
    chest = np.minimum(wall, np.minimum(inside + 13.0, np.minimum(region.z - 15.0, 285.0 - region.z)))
    canvas.fill(everything, chest + 0.5 * weave, "intercostal")
    serratus = np.minimum(np.minimum(inside + 21.0, -14.5 - inside), np.minimum(np.abs(region.x) - 80.0, wall - 1.0))
    serratus = np.minimum(serratus, np.minimum(region.z - 25.0, 235.0 - region.z))
    canvas.fill(everything, serratus, "intercostal")
    # The buttocks: muscle on muscle with one plane of fat; the shoulders likewise.
    plane = 1.6 - np.abs(wall - 27.0 + 3.0 * weave)
    buttock = np.minimum(
        np.minimum(
            wall - 1.0, np.minimum(-inside - 6.0, np.abs(region.x) - 34.0 - 0.25 * np.maximum(-275.0 - region.z, 0.0))
        ),
        np.minimum(
            np.minimum(0.8 * (region.y + 30.0 - 0.035 * (wall - 18.0) ** 2), -172.0 + 0.4 * region.y - region.z),
            region.z + 345.0,
        ),
    )
    canvas.fill(everything, buttock, "gluteal")
    canvas.fill(everything, np.minimum(plane, buttock), "intermuscular_fat", over=("gluteal",))
    plane = 1.4 - np.minimum(np.abs(wall - 10.0), np.abs(wall - 24.0)) + 0.8 * weave
    shoulder = np.minimum(
        np.minimum(wall - 1.5, -inside - 13.5),
        np.minimum(0.8 * (region.y - 6.0 - 0.03 * (wall - 16.0) ** 2), np.minimum(region.z - 222.0, 300.0 - region.z)),
    )
    canvas.fill(everything, shoulder, "shoulder_muscle")
    canvas.fill(everything, np.minimum(plane, shoulder), "intermuscular_fat", over=("shoulder_muscle",))
    pelvic = np.minimum(np.minimum(inside + 11.0, -1.0 - inside), np.minimum(-225.0 - region.z, region.z + 325.0))
    canvas.fill(everything, np.minimum(pelvic, np.abs(region.x) - 30.0), "gluteal")
    # Fat planes between the layers of the wall and loose fat where the back muscles lie.
    planes = 1.0 - np.minimum(np.abs(wall - 5.5), np.abs(wall - 11.0)) + 0.5 * weave
    planes = np.where((wall > 3.5) & (region.z > -190) & (region.z < 25), planes, -5.0)
    canvas.fill(everything, np.minimum(planes, 1.2), "intermuscular_fat")
    loose = np.minimum(wall - 2.0, region.y - 0.55 * np.abs(region.x) - 22.0)
    canvas.fill(everything, np.minimum(loose, np.minimum(region.z + 420.0, 215.0 - region.z)), "intermuscular_fat")
    del loose, planes, wall, weave, chest, serratus, pelvic, plane, buttock, shoulder
    canvas.fill(everything, np.minimum(inside, 20.0 - region.z), "visceral_fat")
    dome = body.dome(region)
    canvas.fill(everything, np.minimum(inside, np.minimum(region.z - 8.0, dome - region.z)), "visceral_fat")
    canvas.fill(everything, np.minimum(inside, region.z - np.maximum(dome, 0.0)), "mediastinal_fat")
    sheet = 2.2 - np.abs(region.z - dome)
    canvas.fill(everything, np.minimum(inside + 1.0, sheet), "diaphragm")
