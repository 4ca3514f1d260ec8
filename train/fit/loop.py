"""The training loop: the stages of a system one after the other, resumable at any step.

Everything random at a step (crop, noise, time, code restarts) is seeded from (run seed, stage, step, item), so a resumed run sees what an
uninterrupted one would have seen and no generator state needs to be kept.
"""

from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from safetensors.torch import save_file

from s2ldm_core.systems import Batch, System, build_system
from train.checkpoint import Position, load_checkpoint, save_checkpoint
from train.config import FitConfig, StageConfig
from train.crops import CropSampler
from train.errors import TrainError
from train.fit.ahead import drawn_ahead
from train.fit.average import Average
from train.fit.best import keep_best
from train.fit.budget import Budget
from train.fit.compiled import compile_blocks
from train.fit.initial import start_from
from train.fit.latents import LatentCache
from train.fit.provenance import refuse_held_out
from train.fit.record import History, alone, check_data, stage_done, stages_done, write_record
from train.fit.seeds import seed_everything
from train.fit.step import OptimiserStep
from train.fit.telling import Meter, shown
from train.fit.validation import Validation, summary
from train.store import pairs_of

_STATISTICS_BATCHES = 24
_STATISTICS_STEP = 10**9
_BEGIN_STREAM = 10**9
# ``stages.jsonl`` keeps two digits.
_MINUTE_ROUNDING = 0.02


class Fit:
    """One run: its folder holds the resolved configuration, checkpoints, history and TensorBoard logs.

    Started by ``accelerate launch``, every process makes one and calls `fit`; the folder must be one that all machines see.
    """

    def __init__(self, config: FitConfig, *, console: Console | None = None) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config = config
        self.run = config.output / config.name
        self.accelerator = Accelerator(
            mixed_precision="bf16" if config.precision == "bf16" else "no",
            cpu=config.device == "cpu" or not torch.cuda.is_available(),
        )
        self.main = self.accelerator.is_main_process
        self.device = self.accelerator.device
        # The crops of a stage have one size: cuDNN may measure which of its convolutions is the fastest for it.
        torch.backends.cudnn.benchmark = self.device.type == "cuda"
        self.console = console or Console(stderr=True)
        torch.manual_seed(config.seed)
        self.system = build_system(config.system, config.network)
        self._started_from = (
            None if config.init is None else start_from(self.system, name=config.system, init=config.init)
        )
        self.system.to(self.device)
        for name, part in self.system.named_children():
            if name not in self.system.training_only:  # these as they translate
                part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if config.compile:
            compile_blocks(self.system)
        self.average = Average(self.system, decay=config.optim.ema)
        self.store = pairs_of(config.data, "train")
        self.sampler = CropSampler(self.store, config.data, phases=self.system.config.phases, seed=config.seed)
        self.validation = Validation(config, phases=self.system.config.phases)
        self.position = Position()
        self._budget = Budget(config.optim, self.accelerator)
        refuse_held_out(self.store)
        self._digest = self.store.digest()
        self._players: dict[str, Any] | None = None

    def fit(self) -> System:
        """Run (or continue) all stages; returns the system with its averaged weights, in evaluation mode.

        Raises
        ------
        TrainError
            ``run_busy``, ``data_changed``, ``checkpoint_damaged``, ``checkpoint_differs``, ``loss_not_finite``, ``batch_uneven``.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        with alone(self.run) if self.main else nullcontext():
            return self._fit()

    def _fit(self) -> System:
        check_data(self.run, digest=self._digest)
        self._resume()
        self.accelerator.wait_for_everyone()
        if self.main:
            self._record()
        for index in range(self.position.stage, len(self.config.stages)):
            self._stage(index)
            self.position = Position(stage=index + 1)
            self._save(None)
        self.accelerator.wait_for_everyone()
        self.system.load_shipped(self.average.values)
        return self.system.eval()

    def _stage(self, index: int) -> None:
        stage = self.config.stages[index]
        if self.position.step == 0:
            seed_everything(self.config.seed, index, _BEGIN_STREAM)
            self.system.begin_stage(stage.name)
        cache = self._latents(stage)
        step = OptimiserStep(self.system, config=self.config, index=index, accelerator=self.accelerator, run=self.run)
        if self._players is not None:
            step.load_state_dict(self._players)
            self._players = None
        draw = self._draw(index, stage, step, cache)
        history = History(self.run, stage=stage.name, step=self.position.step) if self.main else None
        ahead = drawn_ahead(draw, first_step=self.position.step, rounds=step.rounds, workers=self.config.data.workers)
        bar = shown(self.console, stage.name, self.position, main=self.main)
        with closing(history) if history is not None else nullcontext(), bar as show, ahead as take:
            self._steps(stage, step, take, history=history, show=show)
        step.close()
        self._end_stage(index, stage)
        if cache is not None:
            self.accelerator.wait_for_everyone()
            if self.main:
                cache.remove()

    def _steps(
        self,
        stage: StageConfig,
        step: OptimiserStep,
        take: Callable[[int, int], Batch],
        *,
        history: History | None,
        show: Callable[[float], None],
    ) -> None:
        meter = Meter(self.device, crops=self.config.batch_of(stage)[0])
        while (progress := self._budget.progress(stage, self.position)) < 1.0:
            show(progress)
            before, began, number = self.position.seconds, self._budget.clock(), self.position.step
            lr = self._budget.lr(stage, number, progress)
            values = step(take, step=number, progress=progress, lr=lr)
            meter.add(values)
            self.average.update(self.system, step=number)
            self.position.step += 1
            self.position.seconds = self._budget.agreed(before + self._budget.clock() - began)
            if history is not None and self.position.step % self.config.log_steps == 0:
                history.add("train", meter.read(lr=lr), step=self.position.step)
            if self.position.step % self.config.watch.steps == 0:
                self._watch(values, history)
            if self.validation.due(step=self.position.step, seconds_before=before, seconds=self.position.seconds):
                self._validate(stage, history)
            if self.position.step % self.config.checkpoint_steps == 0:
                self._save(step)

    def _watch(self, values: dict[str, float], history: History | None) -> None:
        measured, alarms = self.system.alarms(values, self.config.watch.model_dump())
        if history is None:
            return
        if measured:
            history.add("watch", measured, step=self.position.step)
        for alarm in alarms:
            history.warn(alarm.code, alarm.sentence, step=self.position.step)
            self._say(f"step {self.position.step}: {alarm.sentence}")

    def _validate(self, stage: StageConfig, history: History | None) -> None:
        with self.average.applied(self.system) as system, self.accelerator.autocast():
            scores, pictures = self.validation.scores(
                system,
                stage=stage.name,
                device=self.device,
                rank=self.accelerator.process_index,
                processes=self.accelerator.num_processes,
            )
        if self.accelerator.num_processes > 1:
            scores = gather_object(scores)
        if history is not None:
            metrics = summary(scores)
            history.add("validation", metrics, step=self.position.step)
            keep_best(self.run, stage=stage.name, step=self.position.step, metrics=metrics, weights=self.average.values)
            for name, picture in pictures.items():
                history.picture(name, picture, step=self.position.step)

    def _draw(
        self, index: int, stage: StageConfig, step: OptimiserStep, cache: LatentCache | None
    ) -> Callable[[int, int], Batch]:
        crop, data = self.config.crop_of(stage), self.system.stage(stage.name).data
        if cache is not None:
            return lambda number, part: cache.batch(stage=index, step=number, items=step.items(part), crop=crop)
        return lambda number, part: self.sampler.batch(
            stage=index, step=number, items=step.items(part), crop=crop, data=data
        )

    def _latents(self, stage: StageConfig) -> LatentCache | None:
        """The latents of all cases where the stage wants them."""
        cache = LatentCache(
            self.run / "latents",
            store=self.store,
            config=self.config.data,
            phases=self.system.config.phases,
            seed=self.config.seed,
            variants=stage.latent_variants,
        )
        if stage.latent_variants:
            cache.fill(
                self.system,
                stage=stage.name,
                digest=self._digest,
                accelerator=self.accelerator,
                console=self.console,
            )
            return cache
        if self.main:
            cache.remove()  # a kill may have left those of the stage before
        return None

    def _end_stage(self, index: int, stage: StageConfig) -> None:
        """The next stage starts from the averaged weights."""
        self.system.load_shipped(self.average.values)
        data = self.system.stage(stage.name).data
        batches = (
            self.sampler.batch(stage=index, step=_STATISTICS_STEP + i, data=data).to(self.device)
            for i in range(_STATISTICS_BATCHES)
        )
        self.system.eval()
        self.system.end_stage(stage.name, batches)
        self.average.restart(self.system)
        if self.main:
            weights = self.run / f"{stage.name}.safetensors"
            save_file({key: value.contiguous() for key, value in self.average.values.items()}, weights)
            weights.chmod(0o644)  # safetensors writes 0600; runs are read by whoever evaluates them
            stage_done(self.run, stage=stage.name, steps=self.position.step, minutes=self.position.seconds / 60)

    def _save(self, step: OptimiserStep | None) -> None:
        if not self.main:
            return
        players = None if step is None else step.state_dict()
        state = {"system": self.system.state_dict(), "ema": self.average.values, "players": players}
        save_checkpoint(self.run, position=self.position, state=state)

    def _resume(self) -> None:
        found = load_checkpoint(self.run)
        self._require_one_folder((-1, -1) if found is None else (found[0].stage, found[0].step))
        if found is None:
            return
        self.position, state = found
        try:
            self.system.load_state_dict(state["system"])
            self._players = state["players"]
        except (RuntimeError, KeyError) as error:
            raise TrainError(
                "checkpoint_differs",
                f"The checkpoint in {self.run} belongs to another network.",
                "Give the run another name, or move the old folder away.",
            ) from error
        self.average.load(state["ema"], device=self.device)
        self._extend()

    def _extend(self) -> None:
        """A finished run whose last stage was given a larger budget goes on in that stage, with its averaged weights and new moments."""
        last, done = self.config.stages[-1], stages_done(self.run)
        if self.position.stage < len(self.config.stages) or last.name not in done:
            return
        steps, minutes = done[last.name]
        more = steps < last.steps if last.steps is not None else minutes + _MINUTE_ROUNDING < (last.minutes or 0.0)
        if more:
            self.position = Position(stage=len(self.config.stages) - 1, step=steps, seconds=60.0 * minutes)
            if self.main:
                self._say(f"The finished run is extended: stage {last.name} goes on at step {steps}.")

    def _require_one_folder(self, position: tuple[int, int]) -> None:
        if self.accelerator.num_processes > 1 and len(set(gather_object([position]))) > 1:
            raise TrainError(
                "checkpoint_unseen",
                f"The processes do not find the same checkpoint in {self.run}.",
                "Put the output folder on storage that all machines see.",
            )

    def _record(self) -> None:
        stages = self.config.stages
        where = stages[self.position.stage].name if self.position.stage < len(stages) else "end"
        changed = write_record(
            self.run,
            config=self.config,
            system=self.system,
            store=self.store,
            digest=self._digest,
            device=str(self.device),
            processes=self.accelerator.num_processes,
            position=f"{where}, step {self.position.step}",
            started_from=self._started_from,
        )
        if changed:
            self._say(f"The configuration differs from this run's last start: {'; '.join(changed)}")
        if self.config.validation.cases and not self.validation.cases:
            self._say("The store has no validation split: no metrics and pictures while training.")

    def _say(self, sentence: str) -> None:
        self.console.print(sentence, style="yellow", soft_wrap=True, markup=False)
