"""Training configuration: one YAML file per experiment, validated before anything starts.

A file may say ``extends: other.yaml`` (beside it) and give only what differs; ``--set key.path=value`` changes single keys.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from s2ldm_core.documents import Document, validate
from s2ldm_core.errors import DocumentError, ExtensionError, S2LDMError
from s2ldm_core.systems import build_system, system_class
from s2ldm_core.systems.change_loss import TRAINING
from train.errors import TrainError
from train.experiment_file import read_experiment, set_key
from train.transforms import build_transform

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


class TransformConfig(_Part):
    """A transform that an installed package offers as an entry point of ``s2ldm.transforms``."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _makes(self) -> Self:
        try:
            build_transform(self.name, self.options)
        except ExtensionError as error:
            raise ValueError(f"{error.sentence} {error.remedy}") from error
        return self


class FoldConfig(_Part):
    """One fold of a cross-validation over the patients of the store's train and validation splits; test patients stay out of it."""

    number: int = Field(ge=0)
    """Which fold validates, from 0."""
    of: int = Field(ge=2)
    """How many folds there are."""

    @model_validator(mode="after")
    def _there_is(self) -> Self:
        if self.number >= self.of:
            raise ValueError(f"fold {self.number} is none of 0 to {self.of - 1}")
        return self


class DataConfig(_Part):
    """Which pairs, and how crops are drawn from them."""

    store: Path
    """Folder written by ``s2ldm-train prepare`` or ``s2ldm-train phantom``."""
    fold: FoldConfig | None = None
    """Train and validate on a fold instead of the store's splits."""
    leave_out: tuple[str, ...] = ()
    """Patients that are neither trained on nor validated on, as their cases name them: who is left out can be tested on."""
    window_hu: tuple[float, float] = (-200.0, 500.0)
    crop: Triple = (32, 128, 128)
    """Voxels of the model grid: slices, rows, columns."""
    focus: FocusConfig | None = None
    batch: int = Field(1, ge=1)
    """Crops of one optimiser step over all processes: the number of processes never changes what is learnt."""
    micro_batch: int = Field(1, ge=1)
    """Crops that a process computes at once; what is left of ``batch`` is accumulated."""
    workers: int = Field(0, ge=0)
    """Processes that draw the next crops while a GPU computes; 0: drawn when needed, which is best where the CPU computes."""
    noise: tuple[float, float] = (0.5, 1.5)
    """The scan's own noise is multiplied by a factor from this range; both phases share it, so the change is learnt, not denoising."""
    added_noise_hu: float = Field(0.0, ge=0)
    """Largest standard deviation of noise added to both phases of a case that does not keep its own apart: of a real scan, whose grain
    would otherwise be the same in every crop. 0: none."""
    shading_hu: float = Field(0.0, ge=0)
    """Largest standard deviation (HU) of a smooth field added to both phases, where it is least smooth in the plane; the smoother, the
    weaker (square root): noise of thick slices, beam hardening, scatter and motion. 0: none."""
    shading_mm: tuple[float, float] = (1.5, 20.0)
    """Least and greatest standard deviation of the Gaussian that makes that field smooth in the plane, mm."""
    shading_slices_mm: tuple[float, float] = (2.0, 10.0)
    """The same through the slices."""
    offset_hu: float = Field(3.0, ge=0)
    """Standard deviation of a calibration offset added to both phases."""
    zoom: tuple[float, float] | None = None
    """Smallest and largest factor by which the anatomy of a crop is enlarged, its noise not; null: as it is. Patients and, above all,
    their vessels differ in size more than the pairs may do."""
    rotation_degrees: float = Field(0.0, ge=0, le=45)
    """Largest angle by which the anatomy of a crop is turned in the plane, either way; its noise is not where the store keeps it apart."""
    flip: tuple[Literal["left_right", "front_back", "up_down"], ...] = ()
    """Axes along which half of the crops are mirrored. Left and right of an abdomen differ: ``left_right`` shows patients whose liver
    lies on the left, and labels that name a side become wrong."""
    transforms: tuple[TransformConfig, ...] = ()
    """Of other packages, in this order, after everything else."""
    organ_offset: OrganOffsetConfig | None = None
    """Offsets of single organs, where the pairs have labels of them."""
    smooth_share: float = Field(0.5, ge=0, le=1)
    """Share of the crops seen through a thicker slice and a softer kernel: the same blur in both phases."""
    smooth_mm: tuple[float, float] = (2.0, 0.7)
    """Largest standard deviation of that blur, through the slices and in the plane."""

    @property
    def folded(self) -> tuple[int, int] | None:
        """The fold as ``(number, of)``."""
        return None if self.fold is None else (self.fold.number, self.fold.of)

    @property
    def reshaping(self) -> list[str]:
        """The switches in use that crops of cached latents cannot follow."""
        return [key for key in ("zoom", "rotation_degrees", "flip", "transforms") if getattr(self, key)]

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.zoom is not None and not 0.5 <= self.zoom[0] <= self.zoom[1] <= 2:
            raise ValueError("zoom must be two factors from 0.5 to 2, the smaller one first")
        for key in ("shading_mm", "shading_slices_mm"):
            if not 0 < getattr(self, key)[0] <= getattr(self, key)[1]:
                raise ValueError(f"{key} must be two lengths above 0 mm, the shorter one first")
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
    """Stages with a frozen map only, such as S2LDM's ``diffusion``. n: encode every case n times (each with its own noise, offset and
    blur), keep the latents on disk and draw crops of them; 0: encode every crop anew."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give either minutes or steps")
        return self


class OptimConfig(_Part):
    """AdamW with warm-up, and a rate that falls to ``final`` of itself over every stage."""

    weight_decay: float = Field(1e-4, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = Field(50, ge=0)
    constant: float = Field(0.0, ge=0, lt=1)
    """Share of a stage's budget before the rate begins to fall."""
    decay: Literal["cosine", "linear"] = "cosine"
    """How it falls from there; adversarial systems are usually trained with half constant, half linear."""
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
    system: str
    """One of ``s2ldm-train systems``."""
    network: dict[str, Any] = {}
    """The system's configuration (``network.yaml`` of the package made from this run)."""
    init: str | None = None
    """Model package (folder or bundled name) of the same network, or of one with fewer residual blocks, whose weights the run starts from;
    it may then leave out early stages."""
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
    compile: bool = False
    """Compile the network's residual blocks with PyTorch, for a GPU: a minute and a half before the first step. Needs a C++ compiler."""
    checkpoint_steps: int = Field(200, ge=1)
    log_steps: int = Field(10, ge=1)
    output: Path = Path("runs")

    @field_validator("system")
    @classmethod
    def _registered(cls, name: str) -> str:
        try:
            return system_class(name).name
        except S2LDMError as error:
            raise ValueError(f"{error.sentence} {error.remedy}") from error

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        system = build_system(self.system, self.network, context=TRAINING)
        names, known = tuple(stage.name for stage in self.stages), tuple(stage.name for stage in system.stages)
        first = known.index(names[0]) if self.init is not None and names[0] in known else 0
        if names != known[first : first + len(names)]:
            raise ValueError(f"stages must be {', '.join(known)} in this order, not {', '.join(names) or 'none'}")
        if needed := [stage.name for stage in system.stages[:first] if not stage.shipped]:
            raise ValueError(f"stages must have {needed[0]}: no package holds what it trains")
        wanted = system.traits.window_hu
        if wanted not in (None, self.data.window_hu):
            raise ValueError(f"data.window_hu is {list(self.data.window_hu)}, but the network counts on {list(wanted)}")
        cached = [stage.name for stage in system.stages if stage.cached is not None]
        for stage in self.stages:
            crop, stride = self.crop_of(stage), system.traits.multiple_of
            if any(n % f for n, f in zip(crop, stride, strict=True)):
                raise ValueError(
                    f"crop {list(crop)} of stage {stage.name} must be multiples of {list(stride)}, the network's stride"
                )
            if stage.latent_variants and stage.name not in cached:
                raise ValueError(
                    f"latent_variants belongs to a stage with a frozen map: {', '.join(cached) or 'none here'}"
                )
            if stage.latent_variants and (switches := self.data.reshaping):
                raise ValueError(f"data.{switches[0]} needs crops that are encoded anew: set latent_variants to 0")
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
        ``config_missing``, ``config_is_plan``, or ``config_invalid`` naming the key.
    """
    document = read_experiment(path)
    places = dict(document.places)
    for override in overrides:
        places[set_key(document.values, override)] = ""
    if "rows" in document.values:
        raise TrainError(
            "config_is_plan",
            f"{path} is a plan of several runs, not one run.",
            f"Use it with: s2ldm-train ablate {path}",
        )
    try:
        return validate(FitConfig, Document(values=document.values, places=places), name=str(path))
    except DocumentError as error:
        raise TrainError("config_invalid", error.sentence, "Correct these keys.") from error
