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
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from hemexp import __version__
from hemexp.desk.dicom.segments import REPORT, SITES, series_facts
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


def _tracking(label: str, made_from: str) -> TrackingIdentifier:
    """The same UID as the segment of that label has."""
    return TrackingIdentifier(generate_uid(entropy_srcs=[made_from, label]), label)


def measured_volume(
    name: str, volume_ml: float, segmentation: Segmentation, source_uid: str, made_from: str
) -> VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations:
    """The baseline's volume of one kind of blood, with its segment where there is one.

    Args:
        name: `iph` or `ivh`.
        volume_ml: Measured in native space.
        segmentation: Holds the segment, unless there is no such blood.
        source_uid: Series that the segmentation was made on.
        made_from: As the segment's description took it.
    """
    label = name.upper()
    facts = {
        "tracking_identifier": _tracking(label, made_from),
        "finding_type": codes.SCT.Hemorrhage,
        "finding_sites": [FindingSite(SITES[name])],
        "measurements": [Measurement(codes.SCT.Volume, _decimal(volume_ml), MILLILITRE)],
    }
    numbers = segmentation.get_segment_numbers(segment_label=label)
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


def forecast_group(forecast: pd.Series, made_from: str) -> MeasurementsAndQualitativeEvaluations:
    """What the drawn follow-ups say, under codes of its own.

    Args:
        forecast: Columns of `FORECASTS`.
        made_from: What tells it from that of another run.
    """
    label = f"hemexp forecast, {int(forecast['samples'])} samples"
    measurements = [
        Measurement(
            CodedConcept(code, SCHEME, meaning),
            _decimal(forecast[column]),
            MILLILITRE if column.endswith("_ml") else codes.UCUM.NoUnits,
        )
        for column, (code, meaning) in FORECASTS.items()
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(label, made_from),
        finding_type=codes.SCT.Hemorrhage,
        algorithm_id=AlgorithmIdentification("hemexp", __version__, [NOTICE]),
        measurements=measurements,
    )


def write_report(
    slices: list["Dataset"],
    segmentation: Segmentation,
    volumes_ml: dict[str, float],
    forecast: pd.Series | None,
    made_from: list[str],
) -> Comprehensive3DSR:
    """The report: volumes at baseline with their segments and, where there is one, the forecast.

    Args:
        slices: Headers of the source series.
        segmentation: Of the masks.
        volumes_ml: At baseline, native, by `iph` and `ivh`.
        forecast: Of the patient; None without samples.
        made_from: Hashes of what it comes from, that of the masks first.
    """
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=["hemexp", __version__]), name="hemexp"
    )
    observer = ObserverContext(codes.DCM.Device, device)
    groups = [
        measured_volume(name, volume_ml, segmentation, slices[0].SeriesInstanceUID, made_from[0])
        for name, volume_ml in volumes_ml.items()
    ]
    if forecast is not None:
        groups.append(forecast_group(forecast, made_from[0]))
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=slices,
    )
    facts = series_facts(REPORT, slices, made_from)
    return Comprehensive3DSR(
        evidence=[*slices, segmentation],
        content=content,
        is_complete=True,
        is_final=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="Forecasts of hemexp")],
        **facts,
    )
