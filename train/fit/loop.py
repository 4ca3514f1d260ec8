"""The training loop: the stages of a system one after the other, resumable at any step.

Everything random at a step (crop, noise, time, code restarts) is seeded from (run seed, stage, step, item), so a resumed run sees what an
uninterrupted one would have seen and no generator state needs to be kept.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file

from s2ldm_core.systems import System, build_system
from s2ldm_core.systems.s2ldm import S2LDM
from train.checkpoint import Position, load_checkpoint, save_checkpoint
from train.config import FitConfig, StageConfig
from train.crops import CropSampler
from train.errors import TrainError
from train.fit.ahead import drawn_ahead
from train.fit.average import Average
from train.fit.initial import start_from
from train.fit.latents import LatentCache
from train.fit.record import History, check_data, stage_done, write_record
from train.fit.step import Batch, OptimiserStep, to_device
from train.fit.validation import Validation, summary
from train.fit.watch import Watch
from train.store import PairStore

_STATISTICS_BATCHES = 24
_STATISTICS_STEP = 10**9


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
        self.console = console or Console(stderr=True)
        torch.manual_seed(config.seed)
        self.system = build_system(config.system, config.network)
        self._started_from = (
            None if config.init is None else start_from(self.system, name=config.system, init=config.init)
        )
        self.system.to(self.device)
        self.system.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = Average(self.system, decay=config.optim.ema)
        self.store = PairStore(config.data.store, split="train")
        self.sampler = CropSampler(self.store, config.data, phases=self.system.config.phases, seed=config.seed)
        self.validation = Validation(config.data.store, config, phases=self.system.config.phases)
        self.position = Position()
        self._digest = self.store.digest()
        self._step_state: dict[str, Any] | None = None

    def fit(self) -> System:
        """Run (or continue) all stages; returns the system with its averaged weights, in evaluation mode.

        Raises
        ------
        TrainError
            ``run_busy``, ``data_changed``, ``checkpoint_damaged``, ``checkpoint_differs``, ``loss_not_finite``, ``batch_uneven``.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        with self._alone():
            return self._fit()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes that trained one run would each overwrite the other's checkpoints; a killed one leaves no lock."""
        if not self.main:
            yield
            return
        try:
            lock = FileLock(self.run / ".lock", timeout=0).acquire()
        except Timeout:
            raise TrainError(
                "run_busy",
                f"Another process is training {self.run}.",
                "Wait until it has ended, end it, or give this run another name.",
            ) from None
        with lock:
            yield

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
        self.system.load_state_dict(self.average.values)
        return self.system.eval()

    def _stage(self, index: int) -> None:
        stage = self.config.stages[index]
        cache = self._latents(stage)
        step = OptimiserStep(self.system, config=self.config, index=index, accelerator=self.accelerator, run=self.run)
        if self._step_state is not None:
            step.load_state_dict(self._step_state)
            self._step_state = None
        draw = self._draw(index, stage, step, cache)
        history = History(self.run, stage=stage.name, step=self.position.step) if self.main else None
        watch = Watch(self.system, self.config.watch)
        ahead = drawn_ahead(draw, first_step=self.position.step, rounds=step.rounds, workers=self.config.data.workers)
        with closing(watch), self._shown(stage) as show, ahead as take:
            try:
                self._steps(stage, step, take, history=history, watch=watch, show=show)
            finally:
                if history is not None:
                    history.close()
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
        watch: Watch,
        show: Callable[[float], None],
    ) -> None:
        latent = self.system.config.autoencoder.latent if isinstance(self.system, S2LDM) else None
        while (progress := self._progress(stage)) < 1.0:
            show(progress)
            before, began, number = self.position.seconds, self._clock(), self.position.step
            values = step(take, step=number, progress=progress, lr=self._lr(stage, number, progress))
            self.average.update(self.system, step=number)
            self.position.step += 1
            self.position.seconds = self._agreed(before + self._clock() - began)
            if history is not None and self.position.step % self.config.log_steps == 0:
                history.add("train", values, step=self.position.step)
            if self.position.step % self.config.watch.steps == 0:
                measured, alarms = watch.look(values, channels=latent)
                if history is not None:
                    if measured:
                        history.add("watch", measured, step=self.position.step)
                    for alarm in alarms:
                        history.warn(alarm.code, alarm.sentence, step=self.position.step)
                        self._say(f"step {self.position.step}: {alarm.sentence}")
            if self.validation.due(step=self.position.step, seconds_before=before, seconds=self.position.seconds):
                self._validate(stage, history)
            if self.position.step % self.config.checkpoint_steps == 0:
                self._save(step)

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
            history.add("validation", summary(scores), step=self.position.step)
            for name, picture in pictures.items():
                history.picture(name, picture, step=self.position.step)

    def _draw(
        self, index: int, stage: StageConfig, step: OptimiserStep, cache: LatentCache | None
    ) -> Callable[[int, int], Batch]:
        crop = self.config.crop_of(stage)
        if cache is not None:
            return lambda number, part: cache.batch(stage=index, step=number, items=step.items(part), crop=crop)
        return lambda number, part: self.sampler.batch(stage=index, step=number, items=step.items(part), crop=crop)

    def _latents(self, stage: StageConfig) -> LatentCache | None:
        """The latents of all cases where the stage wants them, encoded by all processes together."""
        if not isinstance(self.system, S2LDM):
            return None
        cache = LatentCache(
            self.run / "latents",
            store=self.store,
            config=self.config.data,
            phases=self.system.config.phases,
            seed=self.config.seed,
            variants=stage.latent_variants,
        )
        if not stage.latent_variants:
            if self.main:
                cache.remove()  # a kill may have left those of the stage before
            return None
        if self.main:
            cache.prepare(self.system, digest=self._digest)
        self.accelerator.wait_for_everyone()
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        self.system.eval()
        with Progress(console=self.console, disable=not self.main) as bar:
            task = bar.add_task("latents", total=len(range(rank, len(self.store), processes)))
            cache.encode(
                self.system,
                device=self.device,
                autocast=self.accelerator.autocast,
                rank=rank,
                processes=processes,
                on_case=lambda: bar.advance(task),
            )
        self.accelerator.wait_for_everyone()
        return cache

    @contextmanager
    def _shown(self, stage: StageConfig) -> Iterator[Callable[[float], None]]:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.fields[step]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.main,
        )
        with bar:
            task = bar.add_task(stage.name, total=1.0, step=self.position.step)
            yield lambda progress: bar.update(task, completed=progress, step=self.position.step)

    def _progress(self, stage: StageConfig) -> float:
        """Share of the stage's budget that is spent."""
        if stage.steps is not None:
            return self.position.step / stage.steps
        return self.position.seconds / (60.0 * (stage.minutes or 1.0))

    def _agreed(self, seconds: float) -> float:
        """The main process's value on all processes, so that all stop, validate and save at the same step."""
        if self.accelerator.num_processes == 1:
            return seconds
        return float(broadcast(torch.tensor([seconds], dtype=torch.float64, device=self.device))[0])

    def _clock(self) -> float:
        """Seconds of computing. On a CPU the process's own time a thread, so that budgets compare on a machine that others use too."""
        if self.device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.perf_counter()

    def _lr(self, stage: StageConfig, step: int, progress: float) -> float:
        optim = self.config.optim
        warm = min(1.0, (step + 1) / max(1, optim.warmup_steps))
        return stage.lr * warm * (optim.final + (1 - optim.final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))

    def _end_stage(self, index: int, stage: StageConfig) -> None:
        """The next stage starts from the averaged weights."""
        self.system.load_state_dict(self.average.values)
        batches = (
            to_device(self.sampler.batch(stage=index, step=_STATISTICS_STEP + i), self.device)
            for i in range(_STATISTICS_BATCHES)
        )
        self.system.eval()
        self.system.end_stage(stage.name, batches)  # type: ignore[arg-type]
        self.average.restart(self.system)
        if self.main:
            weights = self.run / f"{stage.name}.safetensors"
            save_file({key: value.contiguous() for key, value in self.average.values.items()}, weights)
            weights.chmod(0o644)  # safetensors writes 0600; runs are read by whoever evaluates them
            stage_done(self.run, stage=stage.name, steps=self.position.step, minutes=self.position.seconds / 60)

    def _save(self, step: OptimiserStep | None) -> None:
        if not self.main:
            return
        state = {"optimiser": None, "adversary": None} if step is None else step.state_dict()
        save_checkpoint(
            self.run,
            position=self.position,
            state={"system": self.system.state_dict(), "ema": self.average.values, **state},
        )

    def _resume(self) -> None:
        found = load_checkpoint(self.run)
        self._require_one_folder((-1, -1) if found is None else (found[0].stage, found[0].step))
        if found is None:
            return
        self.position, state = found
        try:
            self.system.load_state_dict(state["system"])
        except RuntimeError as error:
            raise TrainError(
                "checkpoint_differs",
                f"The checkpoint in {self.run} belongs to another network.",
                "Give the run another name, or move the old folder away.",
            ) from error
        self.average.load(state["ema"], device=self.device)
        self._step_state = {"optimiser": state["optimiser"], "adversary": state["adversary"]}

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
