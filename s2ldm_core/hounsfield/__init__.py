"""Whether values are Hounsfield units, judged from the values themselves."""

from s2ldm_core.hounsfield.findings import Finding
from s2ldm_core.hounsfield.judgement import HounsfieldJudgement, judge_hounsfield

__all__ = ["Finding", "HounsfieldJudgement", "judge_hounsfield"]
