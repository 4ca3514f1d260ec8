"""The series was not synthesised, by this node or another one."""

from pydicom import Dataset

from dicom_node.series.candidate import Candidate
from dicom_node.series.headers import items
from dicom_node.series.rules.rule import Finding
from s2ldm_core.io.header import text
from s2ldm_core.problem import Problem

#: DCM 109100, CID 7005: the equipment made up the image.
_SYNTHESIZING_EQUIPMENT = ("109100", "DCM")


class NotSynthetic:
    """Refuses derived series that come back, so that none is translated again."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        headers = series.read.headers
        count = sum(map(_is_synthetic, headers))
        if not count:
            return Finding()
        return Finding(
            problem=Problem(
                "synthetic",
                f"{count} of {len(headers)} images are synthetic already, made by this node or another one.",
                "Stop the PACS from routing derived series back to this AE title.",
            )
        )


def _is_synthetic(header: Dataset) -> bool:
    """By Synthetic Data (0008,001C) or a Contributing Equipment item with the purpose "Synthesizing Equipment".

    Never by description text, which anybody may write.
    """
    if text(header, "SyntheticData").upper() == "YES":
        return True
    for equipment in items(header, "ContributingEquipmentSequence"):
        for purpose in items(equipment, "PurposeOfReferenceCodeSequence"):
            if (text(purpose, "CodeValue"), text(purpose, "CodingSchemeDesignator")) == _SYNTHESIZING_EQUIPMENT:
                return True
    return False
