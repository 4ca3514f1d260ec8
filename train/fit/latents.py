"""A system's frozen map of whole cases on disk, such as the latents of an encoder that an earlier stage trained: computed once, and crops
are drawn from it.

A case is mapped in tiles with an exact halo, so a crop of its latents sees its true surroundings where an encoded crop sees padding.
Augmentation happens before; each of a case's variants has its own.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import Progress

from s2ldm_core.files import atomic_file
from s2ldm_core.systems import Batch, How, System
from s2ldm_core.tiling import TILE, Triple, pad_to_multiple
from train.augmentation import Augmentation
from train.config import DataConfig
from train.crops import condition, to_units
from train.cuts import cut, random_origin
from train.store import Case, PairStore

_AUGMENTATION_STREAM = 2**31
"""Keeps the variants' random numbers apart from the crops', which are seeded by (seed, stage, …)."""


class LatentCache:
    """The maps of a store in ``folder``, float16 and memory-mapped."""

    def __init__(
        self, folder: Path, *, store: PairStore, config: DataConfig, phases: tuple[str, ...], seed: int, variants: int
    ) -> None:
        self._folder, self._store, self._config, self._seed, self._variants = folder, store, config, seed, variants
        self._phases = phases

    def fill(
        self, system: System, *, stage: str, digest: str, accelerator: Accelerator, console: Console | None = None
    ) -> None:
        """`prepare` and `encode` by all processes together."""
        if accelerator.is_main_process:
            self.prepare(system, stage=stage, digest=digest)
        accelerator.wait_for_everyone()
        rank, processes = accelerator.process_index, accelerator.num_processes
        with Progress(console=console, disable=not accelerator.is_main_process) as bar:
            task = bar.add_task("latents", total=len(range(rank, len(self._store), processes)))
            self.encode(
                system.eval(),
                stage=stage,
                device=accelerator.device,
                autocast=accelerator.autocast,
                rank=rank,
                processes=processes,
                on_case=lambda: bar.advance(task),
            )
        accelerator.wait_for_everyone()

    def prepare(self, system: System, *, stage: str, digest: str) -> None:
        """Make the folder ready for what ``stage`` leaves frozen and the data of ``digest``: maps of others are removed."""
        key = json.dumps(
            {"frozen": _fingerprint(system, stage), "data": digest, "variants": self._variants, "seed": self._seed}
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
        system: System,
        *,
        stage: str,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[None]],
        rank: int = 0,
        processes: int = 1,
        on_case: Callable[[], None] | None = None,
    ) -> None:
        """Map what is missing of this process's share of the cases."""
        key = system.stage(stage).cached
        if key is None:
            raise ValueError(f"stage {stage} has no frozen map")
        for number in range(rank, len(self._store), processes):
            case = self._store[number]
            for variant in range(self._variants):
                missing = [phase for phase in self._names(case) if not self._path(case, variant, phase).is_file()]
                if missing:
                    with autocast():
                        self._encode_case(system, key, case, variant, number=number, names=missing, device=device)
            if on_case is not None:
                on_case()

    def remove(self) -> None:
        if self._folder.is_dir():
            shutil.rmtree(self._folder)

    def batch(self, *, stage: int, step: int, items: Iterable[int], crop: Triple) -> Batch:
        """As `train.crops.CropSampler.batch`, without images; ``crop`` in voxels of the model grid."""
        drawn = [self._item(np.random.default_rng((self._seed, stage, step, i)), crop) for i in items]
        source, target, known = zip(*drawn, strict=True)
        cached = {"source": torch.from_numpy(np.stack(source)), "target": torch.from_numpy(np.stack(target))}
        return Batch(images={}, condition=condition(known), cached=cached)

    def _item(
        self, rng: np.random.Generator, crop: Triple
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, dict[str, float]]]:
        case = self._store[int(rng.integers(len(self._store)))]
        known = [(i, name) for i, phase in enumerate(self._phases) for name in case.showing(phase)]
        phase, name = known[int(rng.integers(len(known)))]
        variant = int(rng.integers(self._variants))
        source, target = (
            np.load(self._path(case, variant, key), mmap_mode="r", allow_pickle=False) for key in ("native", name)
        )
        # The map is of the case padded by less than a crop: the factor between the grids is the ratio, rounded up.
        z, y, x = (c // -(-n // m) for c, n, m in zip(crop, case.native.shape, source.shape[1:], strict=True))
        origin = random_origin(rng, source.shape[1:], (z, y, x))
        return cut(source, origin, (z, y, x)), cut(target, origin, (z, y, x)), (phase, case.values(name))

    def _encode_case(
        self,
        system: System,
        key: str,
        case: Case,
        variant: int,
        *,
        number: int,
        names: list[str],
        device: torch.device,
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
            padded, _ = pad_to_multiple(image, system.traits.multiple_of)
            mapped = system.cache(key, padded, How(tile=TILE))
            path = self._path(case, variant, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path, durable=False) as file:
                np.save(file, mapped[0].float().cpu().numpy().astype(np.float16), allow_pickle=False)

    def _names(self, case: Case) -> list[str]:
        return ["native", *(name for phase in self._phases for name in case.showing(phase))]

    def _path(self, case: Case, variant: int, name: str) -> Path:
        return self._folder / case.name / f"{name}-{variant}.npy"


def _fingerprint(system: System, stage: str) -> str:
    """SHA-256 of everything that a map depends on besides the data: what the stage's players do not move."""
    moved = {id(p) for player in system.players(stage) for p in player.parameters}
    total = hashlib.sha256()
    for key, value in sorted(system.state_dict(keep_vars=True).items()):
        if id(value) not in moved:
            total.update(key.encode() + value.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
