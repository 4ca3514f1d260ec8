"""Latents of whole cases on disk, encoded once with the frozen encoder of stage 1: stage 2 draws its crops from them.

A case is encoded in tiles with an exact halo, so a crop of its latents sees its true surroundings where an encoded crop sees padding.
Augmentation happens before encoding; each of a case's variants has its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2ldm_core.files import atomic_file
from s2ldm_core.networks.autoencoder import FACTOR
from s2ldm_core.systems.s2ldm import S2LDM
from s2ldm_core.tiling import Triple, pad_to_multiple, tiled
from train.config import DataConfig
from train.crops import Augmentation, cut, random_origin, to_units
from train.store import Case, PairStore

_TILE: Triple = (16, 48, 48)
_AUGMENTATION_STREAM = 2**31
"""Keeps the variants' random numbers apart from the crops', which are seeded by (seed, stage, …)."""


class LatentBatch(NamedTuple):
    """Normalised latents ``(B, C, d, h, w)`` of source and target, and the phase's index ``(B,)``."""

    source: Tensor
    target: Tensor
    phase: Tensor

    def to(self, device: torch.device) -> LatentBatch:
        return LatentBatch(self.source.to(device), self.target.to(device), self.phase.to(device))


def encode_volume(system: S2LDM, image: Tensor, *, tile: Triple = _TILE) -> Tensor:
    """Normalised latent ``(1, C, d, h, w)`` of a volume ``(1, 1, D, H, W)`` in window units, padded to the system's stride."""
    padded, _ = pad_to_multiple(image, system.factor)
    (latent,) = tiled(
        lambda part: (system.encode(part)[0],),
        [padded],
        input_scales=[FACTOR],
        output_scales=[(1, 1, 1)],
        halo=system.encoder.halo,
        tile=tile,
    )
    return latent


def latent_loss(
    system: S2LDM, batch: LatentBatch, *, progress: float, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """What ``system.loss("diffusion", …)`` is for the pairs that these latents were encoded from."""
    loss = system.diffusion_loss(batch.source, batch.target, batch.phase, progress, generator)
    return loss, {"diffusion": loss.detach()}


class LatentCache:
    """The latents of a store in ``folder``, float16 and memory-mapped."""

    def __init__(
        self, folder: Path, *, store: PairStore, config: DataConfig, phases: tuple[str, ...], seed: int, variants: int
    ) -> None:
        self._folder, self._store, self._config, self._seed, self._variants = folder, store, config, seed, variants
        self._phases = phases

    def prepare(self, system: S2LDM, *, digest: str) -> None:
        """Make the folder ready for the encoder's present weights and the data of ``digest``: latents of others are removed."""
        key = json.dumps(
            {"encoder": _fingerprint(system), "data": digest, "variants": self._variants, "seed": self._seed}
        )
        path = self._folder / "key.json"
        if path.is_file() and path.read_text(encoding="utf-8") == key:
            return
        self.remove()
        self._folder.mkdir(parents=True)
        path.write_text(key, encoding="utf-8")

    @torch.no_grad()
    def encode(
        self,
        system: S2LDM,
        *,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[None]],
        rank: int = 0,
        processes: int = 1,
        on_case: Callable[[], None] | None = None,
    ) -> None:
        """Encode what is missing of this process's share of the cases."""
        for number in range(rank, len(self._store), processes):
            case = self._store[number]
            for variant in range(self._variants):
                missing = [phase for phase in self._names(case) if not self._path(case, variant, phase).is_file()]
                if missing:
                    with autocast():
                        self._encode_case(system, case, variant, number=number, names=missing, device=device)
            if on_case is not None:
                on_case()

    def remove(self) -> None:
        if self._folder.is_dir():
            shutil.rmtree(self._folder)

    def batch(self, *, stage: int, step: int, items: Iterable[int], crop: Triple) -> LatentBatch:
        """As `train.crops.CropSampler.batch`; ``crop`` in voxels of the model grid."""
        size = (crop[0] // FACTOR[0], crop[1] // FACTOR[1], crop[2] // FACTOR[2])
        drawn = [self._item(np.random.default_rng((self._seed, stage, step, i)), size) for i in items]
        source, target, phase = zip(*drawn, strict=True)
        return LatentBatch(torch.from_numpy(np.stack(source)), torch.from_numpy(np.stack(target)), torch.tensor(phase))

    def _item(self, rng: np.random.Generator, size: Triple) -> tuple[np.ndarray, np.ndarray, int]:
        case = self._store[int(rng.integers(len(self._store)))]
        known = [i for i, phase in enumerate(self._phases) if phase in case.changes]
        phase = known[int(rng.integers(len(known)))]
        variant = int(rng.integers(self._variants))
        source, target = (
            np.load(self._path(case, variant, name), mmap_mode="r", allow_pickle=False)
            for name in ("native", self._phases[phase])
        )
        origin = random_origin(rng, source.shape[1:], size)
        return cut(source, origin, size), cut(target, origin, size), phase

    def _encode_case(
        self, system: S2LDM, case: Case, variant: int, *, number: int, names: list[str], device: torch.device
    ) -> None:
        rng = np.random.default_rng((self._seed, _AUGMENTATION_STREAM, number, variant))
        augmentation = Augmentation.draw(rng, self._config, case)
        noise = None if case.noise is None else case.noise.astype(np.float32)
        labels = None if case.labels is None else np.asarray(case.labels)
        native = augmentation.native(case.native.astype(np.float32), noise, labels, spacing_mm=case.spacing_mm)
        for name in names:
            hu = case.changes[name].astype(np.float32) if name != "native" else np.zeros_like(native)
            source, change = to_units(
                native, augmentation.blurred(hu, spacing_mm=case.spacing_mm), window_hu=self._config.window_hu
            )
            image = torch.from_numpy(source + change)[None, None].to(device)
            self._save(
                self._path(case, variant, name),
                encode_volume(system, image)[0].float().cpu().numpy().astype(np.float16),
            )

    def _names(self, case: Case) -> list[str]:
        return ["native", *(phase for phase in self._phases if phase in case.changes)]

    def _path(self, case: Case, variant: int, name: str) -> Path:
        return self._folder / case.name / f"{name}-{variant}.npy"

    @staticmethod
    def _save(path: Path, array: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path, durable=False) as file:
            np.save(file, array, allow_pickle=False)


def _fingerprint(system: S2LDM) -> str:
    """SHA-256 of everything that a latent depends on besides the data."""
    total = hashlib.sha256()
    for key, value in sorted(system.state_dict().items()):
        if key.startswith(("encoder.", "latent_")):
            total.update(key.encode() + value.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
