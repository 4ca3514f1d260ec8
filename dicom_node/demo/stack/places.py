"""Where the stack's templates are and where what is downloaded goes: both in a checkout, which an installed wheel is not."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
#: Configuration shared with ``config/deploy/compose.yaml``.
CONFIG = ROOT / "config" / "deploy" / "stack"
BUILD = ROOT / "build"
