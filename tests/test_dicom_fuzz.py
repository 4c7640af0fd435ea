"""Any series ends as the image that its files describe, as a doubtful one, or as an ImageError.

Attributes left out one by one and in pairs, tilts, steps, orders, and attributes of other series.
"""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_series import FIRST, draw_ramp, misplaced_mm

from hemexp.preprocess.dicom.read import read_dicom
from hemexp.preprocess.remarks import warnings_of
from hemexp.volumes import ImageError

PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
SCALES = ("RescaleSlope", "RescaleIntercept")
OTHERS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "Manufacturer",
    "ImageType",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "AcquisitionNumber",
    "SliceThickness",
    "GantryDetectorTilt",
    "PatientPosition",
)
OF_SLICES = {
    "InstanceNumber": st.integers(0, 2**31 - 1),
    "AcquisitionNumber": st.integers(0, 9),
    "SOPInstanceUID": st.sampled_from(["1.2.3.4", "1.2.3.5"]),
    "SliceThickness": st.sampled_from([0, 1, 7, 14, -7, 1e6]),
    "GantryDetectorTilt": st.sampled_from([0, 20, -20, 400]),
    "ConvolutionKernel": st.sampled_from(["H30s", "B60f"]),
    "SpacingBetweenSlices": st.sampled_from([0, 3, 7, -7]),
    "AcquisitionTime": st.sampled_from(["120000", "120001", ""]),
    "ContentTime": st.sampled_from(["120000", "130000"]),
    "EchoTime": st.sampled_from([1, 2]),
}
SHORTEST_SIDE = 9


def check(heights, tilt_deg, direction, lossless=True, **facts):
    """Draws a ramp, reads it, and holds it against the truth unless it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        positions = FIRST + np.outer(heights, (0, 0, 1))
        direction = np.array(direction) / np.linalg.norm(direction)
        where = draw_ramp(Path(folder), direction, positions, tilt_deg, **facts)
        try:
            volume, remarks, _ = read_dicom(Path(folder))
        except ImageError as error:
            return str(error)
    if lossless:
        assert misplaced_mm(volume, direction, where) < 0.2
    return warnings_of(remarks)


@pytest.mark.slow
@pytest.mark.parametrize("tilt_deg", [0, -12])
def test_one_attribute_or_two_left_out(tilt_deg):
    """What does not bear on place or scale changes nothing, with its partner or without."""
    heights = np.arange(SHORTEST_SIDE) * 7.0
    names = [*PLACES, *SCALES, *OTHERS]
    pairs = [(name,) for name in names] + list(itertools.combinations(names, 2))
    for number, left_out in enumerate(pairs):
        if tilt_deg and len(left_out) > 1 and number % 3:
            continue
        direction = np.eye(3)[number % 3]
        unscaled = bool({*left_out} & {*SCALES})
        said = check(heights, tilt_deg, direction, not unscaled, **dict.fromkeys(left_out))
        expected = next((f"no {name} in 9 of 9" for name in PLACES if name in left_out), "")
        assert expected in said if expected else said == (), left_out


TILTS = st.one_of(st.just(0), st.floats(-30, 30).map(lambda tilt_deg: round(tilt_deg, 2)))
DIRECTIONS = st.sampled_from(np.eye(3).tolist())


@pytest.mark.slow
@settings(max_examples=150, deadline=10_000, derandomize=True, database=None)
@given(
    steps=st.lists(st.sampled_from([0.6, 1.0, 2.5, 5.0, 7.0, 10.0]), min_size=3, max_size=12),
    twice=st.sampled_from([None, None, None, 0.0, 0.01]),
    tilt_deg=TILTS,
    order=st.randoms(use_true_random=False),
    direction=DIRECTIONS,
)
def test_any_steps_tilt_and_order(steps, twice, tilt_deg, order, direction):
    heights = np.cumsum([0.0, *steps, *([] if twice is None else [twice])])
    order.shuffle(heights)
    said = check(heights, tilt_deg, direction)
    if twice is not None:
        assert "1 slices of series 3 at the place of another" in said
    else:
        assert all("missing: a gap of" in words for words in said)


@pytest.mark.slow
@settings(max_examples=120, deadline=10_000, derandomize=True, database=None)
@given(data=st.data(), tilt_deg=st.sampled_from([0, 15]), direction=DIRECTIONS)
def test_attributes_that_differ_between_slices(data, tilt_deg, direction):
    names = data.draw(st.lists(st.sampled_from(sorted(OF_SLICES)), min_size=1, max_size=3))
    of_slice = {
        k: {name: data.draw(OF_SLICES[name]) for name in names} for k in range(SHORTEST_SIDE)
    }
    check(np.arange(SHORTEST_SIDE) * 7.0, tilt_deg, direction, of_slice=of_slice)
