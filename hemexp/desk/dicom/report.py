"""Volumes, measured and forecast, as a structured report after TID 1500 (`highdicom`)."""

from typing import TYPE_CHECKING

import pandas as pd
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr.templates import Template
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from hemexp import __version__
from hemexp.desk.dicom.segments import REPORT, SITES, series_facts, tracking_uid
from hemexp.notice import NOTICE

if TYPE_CHECKING:
    from pydicom import Dataset

MILLILITRE = CodedConcept("mL", "UCUM", "mL")
SCHEME = "99HEMEXP"
"""Of codes that no dictionary has: forecasts are no measurements, and must not look like any."""

FORECASTS = {
    "forecast_iph_q05_ml": ("IPH_Q05", "Forecast IPH at follow-up, 5 % quantile"),
    "forecast_iph_q50_ml": ("IPH_Q50", "Forecast IPH at follow-up, median"),
    "forecast_iph_q95_ml": ("IPH_Q95", "Forecast IPH at follow-up, 95 % quantile"),
    "forecast_ivh_q50_ml": ("IVH_Q50", "Forecast IVH at follow-up, median"),
    "forecast_ivh_q95_ml": ("IVH_Q95", "Forecast IVH at follow-up, 95 % quantile"),
    "p_he": ("P_HE", "Forecast probability of growth >= 6 mL or 33 %"),
    "p_he_6ml": ("P_HE_6ML", "Forecast probability of growth >= 6 mL"),
    "p_rhe": ("P_RHE", "Forecast probability of HE or IVH growth"),
}
"""Columns of the patients' table: code (16 signs at most) and meaning (64 at most)."""


def _decimal(value: float) -> float:
    """Six digits, which DICOM's 16 signs of a number hold."""
    return float(f"{value:.6g}")


def measured_volume(
    name: str,
    volume_ml: float,
    tracking: TrackingIdentifier,
    segmentation: Segmentation,
    source_uid: str,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations:
    """The baseline's volume of one kind of blood, with its segment where there is one.

    Args:
        name: `iph` or `ivh`.
        volume_ml: Measured in native space.
        tracking: As of its segment.
        segmentation: Holds the segment, unless there is no such blood.
        source_uid: Series that the segmentation was made on.
    """
    facts = {
        "tracking_identifier": tracking,
        "finding_type": codes.SCT.Hemorrhage,
        "finding_sites": [FindingSite(SITES[name])],
        "measurements": [Measurement(codes.SCT.Volume, _decimal(volume_ml), MILLILITRE)],
    }
    numbers = segmentation.get_segment_numbers(segment_label=name.upper())
    if not numbers:
        return MeasurementsAndQualitativeEvaluations(**facts)
    # Not `from_segmentation`: highdicom 0.28 fails there where there is one segment alone.
    segment = ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        numbers[0],
        source_series=SourceSeriesForSegmentation(source_uid),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **facts)


def forecast_group(
    forecast: pd.Series, tracking: TrackingIdentifier
) -> MeasurementsAndQualitativeEvaluations:
    """What the drawn follow-ups say, under codes of its own.

    Args:
        forecast: Columns of `FORECASTS`.
        tracking: Of the forecast.
    """
    measurements = [
        Measurement(
            CodedConcept(code, SCHEME, meaning),
            _decimal(forecast[column]),
            MILLILITRE if column.endswith("_ml") else codes.UCUM.NoUnits,
        )
        for column, (code, meaning) in FORECASTS.items()
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=codes.SCT.Hemorrhage,
        algorithm_id=AlgorithmIdentification("hemexp", __version__, [NOTICE]),
        measurements=measurements,
    )


def measurement_groups(
    slices: list["Dataset"],
    segmentation: Segmentation,
    volumes_ml: dict[str, float],
    forecast: pd.Series | None,
    masks_from: list[str],
    forecast_from: list[str],
) -> list[Template]:
    """One group a kind of blood and, where there is one, that of the forecast.

    Args:
        slices: Headers of the source series.
        segmentation: Of the masks.
        volumes_ml: At baseline, native, by `iph` and `ivh`.
        forecast: Of the patient; None without samples.
        masks_from: Hashes of the mask files.
        forecast_from: Hashes of what the forecast comes from, too.
    """

    def tracking(hashes: list[str], label: str) -> TrackingIdentifier:
        return TrackingIdentifier(tracking_uid(slices, hashes, label), label)

    series_uid = slices[0].SeriesInstanceUID
    groups = [
        measured_volume(
            name, volume_ml, tracking(masks_from, name.upper()), segmentation, series_uid
        )
        for name, volume_ml in volumes_ml.items()
    ]
    if forecast is not None:
        label = f"hemexp forecast, {int(forecast['samples'])} samples"
        groups.append(forecast_group(forecast, tracking([*masks_from, *forecast_from], label)))
    return groups


def write_report(
    slices: list["Dataset"],
    segmentation: Segmentation,
    groups: list[Template],
    made_from: list[str],
) -> Comprehensive3DSR:
    """The report on a series.

    Args:
        slices: Headers of the source series.
        segmentation: Of the masks.
        groups: Of `measurement_groups`.
        made_from: Hashes of all that it comes from.
    """
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=["hemexp", __version__]), name="hemexp"
    )
    observer = ObserverContext(codes.DCM.Device, device)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=slices,
    )
    return Comprehensive3DSR(
        evidence=[*slices, segmentation],
        content=content,
        is_complete=True,
        is_final=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="Forecasts of hemexp")],
        **series_facts(REPORT, slices, made_from),
    )
