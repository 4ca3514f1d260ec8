"""A run that has completed all its stages."""

from pathlib import Path

from s2ldm_core.systems import System, build_system
from train.checkpoint import load_checkpoint
from train.config import FitConfig
from train.errors import TrainError
from train.fit.best import best_weights
from train.fit.record import CONFIG, resolved_config


def finished_system(run: Path, *, best: bool = False) -> tuple[FitConfig, System]:
    """Configuration and averaged weights of a run that has completed all its stages.

    Parameters
    ----------
    best
        The weights with which the last stage validated best, instead of its last ones.

    Raises
    ------
    TrainError
        ``run_missing``, ``run_unfinished`` or ``best_missing``.
    """
    found = load_checkpoint(run)
    if found is None or not (run / CONFIG).is_file():
        raise TrainError("run_missing", f"There is no training run in {run}.", "Train one: s2ldm-train fit CONFIG.")
    position, state = found
    config = resolved_config(run)
    if position.stage < len(config.stages):
        stage = config.stages[position.stage].name
        raise TrainError(
            "run_unfinished",
            f"The run in {run} stopped in stage {stage} at step {position.step}.",
            f"Run the same fit command again; it goes on there. With a smaller budget for stages.{stage} it ends there.",
        )
    system = build_system(config.system, config.network)
    system.load_shipped(best_weights(run, stage=config.stages[-1].name) if best else state["ema"])
    return config, system.eval()
