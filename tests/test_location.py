"""In which part of the brain a bleed lies."""

import numpy as np
import pytest

from hemexp.anatomy.location import bleed_location

SPACING_MM = (4.0, 5.0, 6.0)
SHAPE = (36, 37, 25)
HALF_MM = np.array([68.0, 88.0, 70.0])


def points_mm():
    middle = (np.array(SHAPE) - 1) / 2
    return (np.moveaxis(np.indices(SHAPE), 0, -1) - middle) * SPACING_MM


BRAIN = np.linalg.norm(points_mm() / HALF_MM, axis=-1) <= 1


def ball(center_mm, radius_mm):
    return BRAIN & (np.linalg.norm(points_mm() - center_mm, axis=-1) <= radius_mm)


@pytest.mark.parametrize(
    ("center_mm", "location"),
    [
        ((28, 10, -5), "deep"),  # putamen
        ((-12, -15, 0), "deep"),  # thalamus of the other side
        ((30, 55, 15), "lobar"),  # frontal
        ((-55, -10, 0), "lobar"),  # temporal
        ((10, -45, -45), "infratentorial"),
    ],
)
def test_bleeds_of_known_place(center_mm, location):
    assert bleed_location(ball(center_mm, 10), BRAIN, SPACING_MM) == location


def test_the_larger_part_decides():
    deep, lobar = ball((25, 0, 0), 20), ball((52, 0, 0), 12)
    assert deep.sum() > 2 * (lobar & ~deep).sum()
    assert bleed_location(deep | lobar, BRAIN, SPACING_MM) == "deep"
    assert bleed_location(lobar, BRAIN, SPACING_MM) == "lobar"


def test_axes_of_unlike_voxels_count_alike():
    # Half way between middle and edge along every axis alone: deep on each.
    for axis in range(3):
        center_mm = np.zeros(3)
        center_mm[axis] = 0.5 * HALF_MM[axis]
        assert bleed_location(ball(center_mm, 7), BRAIN, SPACING_MM) == "deep", axis
        center_mm[axis] = 0.75 * HALF_MM[axis]
        assert bleed_location(ball(center_mm, 7), BRAIN, SPACING_MM) == "lobar", axis


def test_without_a_bleed_there_is_no_location():
    nothing = np.zeros(SHAPE, bool)
    assert bleed_location(nothing, BRAIN, SPACING_MM) is None
    assert bleed_location(ball((0, 0, 0), 9), nothing, SPACING_MM) is None
