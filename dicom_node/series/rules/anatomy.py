"""The series shows the part of the body that the route's model was made for."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem
from s2ldm_core.regions import contradiction, judge_regions, region_by_tags


class Anatomy:
    """Refuses what is no torso, unless the route's ``anatomy`` is ``any``; see `s2ldm_core.regions`.

    Where the image is sure, it decides; where it is not, the tags do.
    """

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        if series.route.anatomy == "any":
            return Finding()
        image = judge_regions(series.pixels.axial, series.pixels.axial_spacing_mm)
        tagged = region_by_tags(series.slice_headers[0])
        details: dict[str, object] = {"regions": {name: round(share, 2) for name, share in image.shares.items()}}
        if contradiction(tagged, image) is not None:  # what the tag says may be free text, and stays out
            details["region_contradicts"] = f"{tagged.source}: {'torso' if tagged.torso else 'not torso'}"
        if tagged.torso is False and not image.sure and (image.problem is None or image.narrow):
            return Finding(
                problem=Problem(
                    "not_torso",
                    f"{tagged.source} says that the images show no torso, and the images do not say otherwise.",
                    "Route only series of the torso here, or set the route's anatomy to any if its model was made for more.",
                ),
                details=details,
            )
        if image.problem is not None and (image.sure or tagged.torso is not True):
            return Finding(problem=image.problem, details=details)
        return Finding(details=details)
