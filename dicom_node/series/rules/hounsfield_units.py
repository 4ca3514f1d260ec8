"""The values of the slices are Hounsfield units, judged from the values: a header looks right when they are not."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.errors import VolumeError
from s2ldm_core.hounsfield import judge_hounsfield


class HounsfieldUnits:
    """Refuses a series of which some slices or all are not in HU; see `s2ldm_core.hounsfield`.

    It is the first to look at pixels: those that cannot be decoded are refused here, so that the rules behind need not
    mind.
    """

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        try:
            samples = series.pixels.samples
        except VolumeError as error:
            return Finding(problem=error.problem)
        judgement = judge_hounsfield(samples, axial=series.geometry.axial)
        seen = {"air_hu": judgement.air_hu, "fat_hu": judgement.fat_hu, "soft_tissue_hu": judgement.soft_hu}
        details = {name: round(value) for name, value in seen.items() if value is not None}
        return Finding(problem=judgement.problem, details=details)
