"""Training configuration: one YAML file per experiment, validated before anything starts.

A file may say ``extends: other.yaml`` (beside it) and give only what differs; ``--set key.path=value`` changes single keys.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from s2ldm_core.documents import Document, Location, parse_document, read_document, validate
from s2ldm_core.errors import DocumentError, S2LDMError
from s2ldm_core.systems import build_system
from train.errors import TrainError

Triple = tuple[int, int, int]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FocusConfig(_Part):
    """Crops that are drawn around organs instead of anywhere: a small organ is otherwise hardly seen in a scan of the torso."""

    share: float = Field(gt=0, le=1)
    """Share of the crops, of the cases that have labels of such organs."""
    organs: tuple[str, ...] = Field(min_length=1)
    """Each that a case has is as likely as the others."""


class OrganOffsetConfig(_Part):
    """Organs lighter or darker than they are, in both phases: what an organ is must then be told by its shape and place, not by its HU."""

    hu: float = Field(gt=0)
    """Standard deviation of the offset, drawn for every group and crop."""
    organs: tuple[tuple[str, ...], ...] = Field(min_length=1)
    """Groups of organs that are moved as one, as the cortex and the medulla of the kidneys are."""


class DataConfig(_Part):
    """Which pairs, and how crops are drawn from them."""

    store: Path
    """Folder written by ``s2ldm-train prepare`` or ``s2ldm-train phantom``."""
    window_hu: tuple[float, float] = (-200.0, 500.0)
    crop: Triple = (32, 128, 128)
    """Voxels of the model grid: slices, rows, columns."""
    focus: FocusConfig | None = None
    batch: int = Field(1, ge=1)
    """Crops of one optimiser step over all processes: the number of processes never changes what is learnt."""
    micro_batch: int = Field(1, ge=1)
    """Crops that a process computes at once; what is left of ``batch`` is accumulated."""
    workers: int = Field(0, ge=0)
    """Threads that draw the next crops while a GPU computes; 0: drawn when needed, which is best where the CPU computes."""
    noise: tuple[float, float] = (0.5, 1.5)
    """The scan's own noise is multiplied by a factor from this range; both phases share it, so the change is learnt, not denoising."""
    offset_hu: float = Field(3.0, ge=0)
    """Standard deviation of a calibration offset added to both phases."""
    zoom: tuple[float, float] | None = None
    """Smallest and largest factor by which the anatomy of a crop is enlarged, its noise not; null: as it is. Patients and, above all,
    their vessels differ in size more than the pairs may do."""
    organ_offset: OrganOffsetConfig | None = None
    """Offsets of single organs, where the pairs have labels of them."""
    smooth_share: float = Field(0.5, ge=0, le=1)
    """Share of the crops seen through a thicker slice and a softer kernel: the same blur in both phases."""
    smooth_mm: tuple[float, float] = (2.0, 0.7)
    """Largest standard deviation of that blur, through the slices and in the plane."""

    @model_validator(mode="after")
    def _zooms(self) -> Self:
        if self.zoom is not None and not 0.5 <= self.zoom[0] <= self.zoom[1] <= 2:
            raise ValueError("zoom must be two factors from 0.5 to 2, the smaller one first")
        return self


class StageConfig(_Part):
    """Budget of one stage: ``minutes`` of computing (on a CPU: its own time a thread) or ``steps``, whichever is given.

    Only ``steps`` make two runs equal: how far ``minutes`` carry depends on the machine.
    """

    name: str
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    lr: float = Field(6e-4, gt=0)
    crop: Triple | None = None
    """Crop of this stage where it differs from ``data.crop``."""
    batch: int | None = Field(None, ge=1)
    """Where it differs from ``data.batch``."""
    micro_batch: int | None = Field(None, ge=1)
    """Where it differs from ``data.micro_batch``."""
    latent_variants: int = Field(0, ge=0)
    """Stage ``diffusion`` only. n: encode every case n times (each with its own noise, offset and blur), keep the latents on disk and draw
    crops of them; 0: encode every crop anew."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give either minutes or steps")
        if self.latent_variants and self.name != "diffusion":
            raise ValueError("latent_variants belongs to the stage diffusion, whose encoder is frozen")
        return self


class OptimConfig(_Part):
    """AdamW with warm-up and a cosine to ``final`` of the rate."""

    weight_decay: float = Field(1e-4, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = Field(50, ge=0)
    final: float = Field(0.02, ge=0, le=1)
    clip_norm: float = Field(1.0, gt=0)
    ema: float = Field(0.998, ge=0, lt=1)


class ValidationConfig(_Part):
    """Metrics and pictures on the store's validation split, every ``steps`` or every ``minutes`` of computing, whichever are given."""

    steps: int | None = Field(None, ge=1)
    minutes: float | None = Field(10.0, gt=0)
    cases: int = Field(2, ge=0)
    """The first so many cases of the split; 0: no validation."""
    slices: int = Field(64, ge=8)
    """At most so many slices, from the middle of each case."""


class WatchConfig(_Part):
    """When to warn that a run is going wrong."""

    steps: int = Field(100, ge=1)
    """Look every so many steps."""
    codes_min: float = Field(0.05, ge=0, le=1)
    """Smallest share of the codebook in use (of as many codes as there were latents, if fewer)."""
    spread_min: float = Field(0.01, ge=0, le=1)
    """Smallest variance of the normalised embeddings, 1 being directions spread evenly."""


class FitConfig(_Part):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    system: Literal["s2ldm", "unet"]
    network: dict[str, Any] = {}
    """The system's configuration (``network.yaml`` of the package made from this run)."""
    init: str | None = None
    """Model package (folder or bundled name) of the same network whose weights the run starts from; it may then leave out early stages."""
    data: DataConfig
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    optim: OptimConfig = OptimConfig()
    validation: ValidationConfig = ValidationConfig()
    watch: WatchConfig = WatchConfig()
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["fp32", "bf16"] = "bf16"
    threads: int | None = Field(None, ge=1)
    """CPU threads of PyTorch; null: PyTorch's own choice."""
    checkpoint_steps: int = Field(200, ge=1)
    log_steps: int = Field(10, ge=1)
    output: Path = Path("runs")

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        try:
            system = build_system(self.system, self.network)
        except S2LDMError as error:
            raise ValueError(error.sentence) from error
        names = tuple(stage.name for stage in self.stages)
        first = system.stages.index(names[0]) if self.init is not None and names[0] in system.stages else 0
        if names != tuple(system.stages[first : first + len(names)]):
            raise ValueError(
                f"stages must be {', '.join(system.stages)} in this order, not {', '.join(names) or 'none'}"
            )
        for stage in self.stages:
            crop = self.crop_of(stage)
            if any(n % f for n, f in zip(crop, system.factor, strict=True)):
                stride = list(system.factor)
                raise ValueError(
                    f"crop {list(crop)} of stage {stage.name} must be multiples of {stride}, the network's stride"
                )
            if self.data.zoom is not None and stage.latent_variants:
                raise ValueError("data.zoom needs crops that are encoded anew: set latent_variants to 0")
            batch, micro = self.batch_of(stage)
            if batch % micro:
                raise ValueError(f"batch {batch} of stage {stage.name} is no multiple of its micro_batch {micro}")
        return self

    def crop_of(self, stage: StageConfig) -> Triple:
        return stage.crop or self.data.crop

    def batch_of(self, stage: StageConfig) -> tuple[int, int]:
        """(crops of an optimiser step over all processes, crops that a process computes at once)."""
        return stage.batch or self.data.batch, stage.micro_batch or self.data.micro_batch


def load_config(path: Path, *, overrides: Sequence[str] = ()) -> FitConfig:
    """Read and validate ``path``; a relative ``data.store`` or ``output`` is relative to the working directory.

    ``overrides`` are ``key.path=value`` with YAML values; an item of a list is named by its number or by its ``name``, as in
    ``stages.diffusion.steps=100``.

    Raises
    ------
    TrainError
        ``config_missing`` or ``config_invalid`` naming the key.
    """
    document = _read(path, ())
    places = dict(document.places)
    for override in overrides:
        places[_set(document.values, override)] = ""
    try:
        return validate(FitConfig, Document(values=document.values, places=places), name=str(path))
    except DocumentError as error:
        raise TrainError("config_invalid", error.sentence, "Correct these keys.") from error


def _read(path: Path, seen: tuple[Path, ...]) -> Document:
    """The file's values on top of what it extends."""
    if path.resolve() in seen:
        raise TrainError(
            "config_invalid", f"{path} extends itself through {' → '.join(p.name for p in seen)}.", "Break the circle."
        )
    try:
        document = read_document(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise TrainError(
            "config_missing", f"There is no configuration file {path}.", "Name one of config/train/*.yaml."
        ) from error
    except DocumentError as error:
        raise TrainError("config_invalid", error.sentence) from error
    values = document.values
    if not isinstance(values, dict):
        raise TrainError("config_invalid", f"{path} holds no keys.", "Start from one of config/train/*.yaml.")
    # A place in a file that another one extends is said with the file's name.
    places = {at: f"{path.name}, {line}" if seen else line for at, line in document.places.items()}
    base = values.pop("extends", None)
    if base is None:
        return Document(values=values, places=places)
    below = _read(path.parent / str(base), (*seen, path.resolve()))
    kept = {at: place for at, place in below.places.items() if not _replaced(at, values)}
    return Document(values=_merge(below.values, values), places={**kept, **places})


def _replaced(location: Location, changes: object) -> bool:
    """Whether ``changes`` put something else in the place of a list or value that ``location`` is part of."""
    for key in location:
        if not isinstance(changes, dict):
            return True
        if key not in changes:
            return False
        changes = changes[key]
    return False


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``changes`` over ``base``, mappings key by key; a list replaces a list."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _set(values: dict[str, Any], override: str) -> Location:
    """Apply one ``key.path=value``; returns where."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise TrainError("config_invalid", f"{override!r} is not KEY=VALUE.", "For example: --set data.batch=2")
    try:
        value = parse_document(text).values
    except DocumentError as error:
        raise TrainError("config_invalid", f"The value of {override!r} is not YAML: {error.sentence}") from error
    node: Any = values
    location: Location = ()
    for key in keys[:-1]:
        if isinstance(node, dict):
            node[key] = {} if node.get(key) is None else node[key]
        place: Any = key if isinstance(node, dict) else _position(node, key, override)
        node, location = node[place], (*location, str(place))
    last: Any = keys[-1] if isinstance(node, dict) else _position(node, keys[-1], override)
    node[last] = value
    return (*location, str(last))


def _position(items: Any, key: str, override: str) -> int:
    """Where ``key`` stands in a list: its number, or the item of that name."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items] if isinstance(items, list) else []
    if key in names:
        return names.index(key)
    if key.isdigit() and int(key) < len(names):
        return int(key)
    raise TrainError(
        "config_invalid",
        f"{override!r} names nothing: there is no {key!r} there.",
        "Look at the file for the key's path.",
    )
