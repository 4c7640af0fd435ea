"""Masks and probability maps as DICOM segmentations (`highdicom`)."""

from typing import TYPE_CHECKING, NamedTuple

import highdicom
import numpy as np
from highdicom.seg import (
    Segmentation,
    SegmentationFractionalTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from hemexp import __version__
from hemexp.made_masks import GIVEN
from hemexp.notice import NOTICE
from hemexp.provenance import git_id

if TYPE_CHECKING:
    from pydicom import Dataset

MAKER = {
    "manufacturer": "hemexp",
    "manufacturer_model_name": "hemexp",
    "software_versions": __version__,
}

SITES = {"iph": codes.SCT.Brain, "ivh": codes.SCT.BrainVentricle, "expansion": codes.SCT.Brain}
"""Where such blood lies, by our name of it."""

MOST = 255
"""Of a probability of 1, in 8 bits: steps of 0.4 %."""


class Kind(NamedTuple):
    """What sets an object of one patient apart.

    Attributes:
        name: Of its file.
        words: Series description.
        number: Series number; far from those that scanners give.
    """

    name: str
    words: str
    number: int


MASKS = Kind("seg", "hemexp: baseline IPH and IVH", 9001)
MAPS = Kind("probability", "hemexp: probability of blood at follow-up", 9002)
REPORT = Kind("report", "hemexp: volumes, measured and forecast", 9003)


def series_facts(kind: Kind, slices: list["Dataset"], made_from: list[str]) -> dict[str, object]:
    """Identity of an object: equal content of equal files has equal UIDs.

    Args:
        kind: Which object.
        slices: Of the source series.
        made_from: Hashes of the files that its content comes from.
    """
    source = [slices[0].SeriesInstanceUID, kind.name, *made_from, __version__]
    return {
        "series_instance_uid": generate_uid(entropy_srcs=[*source, "series"]),
        "sop_instance_uid": generate_uid(entropy_srcs=[*source, "instance"]),
        "series_number": kind.number,
        "instance_number": 1,
        "series_description": kind.words,
        "device_serial_number": git_id(),
        **MAKER,
    }


def tracking_uid(slices: list["Dataset"], made_from: list[str], label: str) -> str:
    """One UID for a finding of a patient, in the segmentation and in the report.

    Args:
        slices: Of the source series.
        made_from: Hashes of the files that show it.
        label: Of the finding.
    """
    return generate_uid(entropy_srcs=[slices[0].SeriesInstanceUID, *made_from, label])


def algorithm() -> highdicom.AlgorithmIdentificationSequence:
    """What drew or found: this program."""
    family = codes.DCM.ArtificialIntelligence
    return highdicom.AlgorithmIdentificationSequence("hemexp", family, __version__)


def describe_segment(
    number: int, name: str, label: str, uid: str, *, drawn_by_people: bool
) -> SegmentDescription:
    """One segment: haemorrhage, in the brain or its ventricles.

    Args:
        number: From 1.
        name: `iph`, `ivh` or `expansion`.
        label: What a viewer shows.
        uid: Of `tracking_uid`.
        drawn_by_people: The sheet named the mask: nobody knows more of how it was made.
    """
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Hemorrhage,
        anatomic_regions=[SITES[name]],
        algorithm_type="MANUAL" if drawn_by_people else "AUTOMATIC",
        algorithm_identification=None if drawn_by_people else algorithm(),
        tracking_id=label,
        tracking_uid=uid,
    )


def segment_masks(
    slices: list["Dataset"], masks: dict[str, NDArray[np.bool_]], source: str, made_from: list[str]
) -> Segmentation:
    """Binary segmentation of the baseline's blood; a mask without a pixel is no segment.

    Args:
        slices: Headers of the source series.
        masks: (slice, row, column) by `iph` and `ivh`, on these slices.
        source: `given`, `network` or `command`.
        made_from: Hashes of the mask files.
    """
    shown = {name: mask for name, mask in masks.items() if mask.any()}
    described = [
        describe_segment(
            number,
            name,
            name.upper(),
            tracking_uid(slices, made_from, name.upper()),
            drawn_by_people=source == GIVEN,
        )
        for number, name in enumerate(shown, 1)
    ]
    return Segmentation(
        source_images=slices,
        pixel_array=np.stack([*shown.values()], axis=-1).astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        content_label="HEMEXP_MASKS",
        content_description=NOTICE,
        **series_facts(MASKS, slices, made_from),
    )


def segment_maps(
    slices: list["Dataset"], maps: dict[str, NDArray[np.float32]], made_from: list[str]
) -> Segmentation:
    """Fractional segmentation: the share of drawn follow-ups with blood at each pixel.

    Args:
        slices: Headers of the source series.
        maps: (slice, row, column), 0 to 1, by `iph`, `ivh` and `expansion`, on these slices.
        made_from: Hashes of the map files.
    """
    labels = {"iph": "p(IPH)", "ivh": "p(IVH)", "expansion": "p(new blood)"}
    shown = {name: values for name, values in maps.items() if (values >= 0.5 / MOST).any()}
    described = [
        describe_segment(
            number,
            name,
            labels[name],
            tracking_uid(slices, made_from, labels[name]),
            drawn_by_people=False,
        )
        for number, name in enumerate(shown, 1)
    ]
    return Segmentation(
        source_images=slices,
        pixel_array=np.stack([np.clip(values, 0, 1) for values in shown.values()], axis=-1),
        segmentation_type=SegmentationTypeValues.FRACTIONAL,
        fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=MOST,
        segment_descriptions=described,
        content_label="HEMEXP_MAPS",
        content_description=NOTICE,
        **series_facts(MAPS, slices, made_from),
    )
