"""What can go wrong in training, in words a researcher can act on."""

from s2ldm_core.problem import ProblemError


class TrainError(ProblemError):
    """Something training, evaluation or export cannot do."""
