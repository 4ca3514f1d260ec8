"""Ways to translate, one file each, behind `s2ldm_core.systems.base.System`."""

from s2ldm_core.systems.base import Alarm, How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.registry import build_system, system_class, system_names

__all__ = [
    "Alarm",
    "Batch",
    "Condition",
    "How",
    "Player",
    "Stage",
    "System",
    "SystemConfig",
    "Traits",
    "Turn",
    "build_system",
    "system_class",
    "system_names",
]
