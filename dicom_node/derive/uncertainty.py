"""The uncertainty of a derived series as a series of its own: what it says, and its values in place of the synthetic HU."""

from dataclasses import dataclass, fields, replace

from dicom_node.derive import uids
from dicom_node.derive.forms.form import SyntheticSeries
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.mark import PlacedMark
from dicom_node.derive.pixels import plan_storage
from dicom_node.errors import DeriveError
from dicom_node.phases import UNCERTAINTY_OFFSET, depicted
from dicom_node.translation import Uncertainty
from s2ldm_core.calibration import LEVELS, Calibration

#: (centre, width): a standard deviation of 0 HU is black, one of 100 HU white.
WINDOW_HU = (50.0, 100.0)
#: Value 4 of Image Type, which is for what is specific to an implementation (PS3.3 C.7.6.1.1.2).
_VALUE_4 = "UNCERTAINTY"


@dataclass(frozen=True, kw_only=True)
class UncertaintyInfo(DerivationInfo):
    """How the uncertainty of a derived series was made.

    Attributes
    ----------
    of_series
        Series Instance UID of that series.
    calibration
        What the model's package says of its uncertainty.
    """

    of_series: str
    calibration: Calibration

    @property
    def word(self) -> str:
        """See `DerivationInfo`."""
        return "SYNTHETIC UNCERTAINTY"

    @property
    def mark_text(self) -> str:
        """The word alone: the phase stands in the mark of the series beside it, and the box stays small."""
        return self.word

    @property
    def comments(self) -> str:
        """See `DerivationInfo`."""
        return "Uncertainty of a synthetic image, in HU; no attenuation. Not acquired. Not for primary diagnosis."

    @property
    def contribution(self) -> str:
        """See `DerivationInfo`."""
        phase = depicted(self.translation.phase)
        return f"Uncertainty of the synthesis of the {phase}; weights sha256 {self.calibration.weights_sha256}"

    @property
    def shown(self) -> str:
        """See `DerivationInfo`."""
        what = "Calibrated standard deviation" if self._is_measured else "Standard deviation, not calibrated,"
        return (
            f"{what} in HU of the error of the synthetic series {self.of_series} "
            f"({depicted(self.translation.phase)}), as predicted with it; no attenuation."
        )

    @property
    def measured(self) -> str:
        """How wide the calibrated intervals are, and the share of voxels whose truth lay within them, tissue by tissue."""
        told = self.calibration
        if not self._is_measured:
            of = f" for {', '.join(told.coverage)}" if told.coverage else ""
            return f"How often errors lie within it was measured{of} at the usual contrast dose only."
        widths = ", ".join(f"{width:.2f}" for width in told.half_widths)
        text = f"Of the errors, {_percent(LEVELS)} % shall lie within {widths} standard deviations"
        shares = told.coverage.get(self.translation.phase)
        if not shares:
            return f"{text}."
        by_tissue = "; ".join(f"{tissue} {_percent(share)}" for tissue, share in shares.items())
        cases = "1 other case" if told.cases == 1 else f"{told.cases} other cases"
        return f"{text}; in {cases} the % of voxels were: {by_tissue}."

    @property
    def _is_measured(self) -> bool:
        """Not of a time between the phases, whose spread is the largest that those of its parts allow, nor of another contrast dose. Some
        packages tell no shares.
        """
        coverage = self.calibration.coverage
        return self.translation.contrast_dose == 1.0 and (not coverage or self.translation.phase in coverage)

    def window(self, source_hu: tuple[float, float] | None) -> tuple[float, float]:
        """The same for every series: a route's window, and the source's, are for attenuation."""
        return WINDOW_HU


def uncertainty_info(info: DerivationInfo, *, of_series: str, calibration: Calibration) -> UncertaintyInfo:
    """What the uncertainty of a derived series, the one that ``info`` tells of, has to say."""
    own = uids.uncertainty_series_instance_uid(of_series, calibration.weights_sha256)
    told = {one.name: getattr(info, one.name) for one in fields(info)}
    changed = {
        "series_number_offset": info.series_number_offset + UNCERTAINTY_OFFSET,
        "replaces": tuple(uid for uid in info.replaces_uncertainty if uid != own),
    }
    return UncertaintyInfo(**(told | changed), of_series=of_series, calibration=calibration)


def uncertainty_series(
    series: SyntheticSeries, uncertainty: Uncertainty, *, info: UncertaintyInfo, mark: PlacedMark | None
) -> SyntheticSeries:
    """A derived series with its uncertainty in place of its HU: same slices, study and frame of reference.

    Parameters
    ----------
    mark
        Placed by the HU of ``series``: the uncertainty shows no body to keep off.

    Raises
    ------
    DeriveError
        ``slices_do_not_fit``, or as `dicom_node.derive.pixels.plan_storage`.
    """
    if uncertainty.hu.shape != series.hu.shape:
        raise DeriveError(
            "slices_do_not_fit",
            f"The uncertainty has the shape {uncertainty.hu.shape}, the synthetic volume {series.hu.shape}.",
            "Run the job again.",
        )
    uid = uids.uncertainty_series_instance_uid(series.series_instance_uid, uncertainty.calibration.weights_sha256)
    padding_hu = None if series.scale.padding is None else float(series.scale.padding + series.scale.intercept_hu)
    return replace(
        series,
        hu=uncertainty.hu,
        scale=plan_storage(uncertainty.hu, padding=series.padding, padding_hu=padding_hu),
        info=info,
        image_type=[*series.image_type, _VALUE_4],
        series_instance_uid=str(uid),
        window_hu=info.window(None),
        mark=mark,
    )


def _percent(shares: tuple[float, ...]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares)
