"""The worlds of the phantom: one code draws scans, a world says who comes and what happens.

`plain` is for tests and quick looks: everybody's values are known, a bleed grows by what it is at
baseline, and masks are true. `clinical` is what `clinical_cases.py` and
`clinical_law.py` say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from numpy.random import Generator

from hemexp.phantom import clinical_cases, clinical_law, model
from hemexp.phantom.centers import CENTERS, CLINICAL_CENTERS, Center
from hemexp.phantom.model import Case, Course, GrowthLaw


@dataclass(frozen=True)
class World:
    """What a world decides.

    Attributes:
        centers: Scanners and habits, by letter.
        draw_case: A patient's variables from (phantom seed, patient_id, letter of the centre).
        law: The true law of growth, as well as the baseline can tell it.
        draw_course: What became of a patient.
        yielding: How far the deep brain moves for a mL, from (phantom seed, patient_id, age).
        oedema_mm: Width of the oedema at baseline and at follow-up.
        swelling: By which part blocked CSF has widened the ventricles at follow-up, from the
            patient and the IVH at baseline in mL.
        cells: The sheet's cells of a patient, as text, from (phantom seed, patient).
    """

    centers: Mapping[str, Center]
    draw_case: Callable[[int, str, str], Case]
    law: Callable[[Case], GrowthLaw]
    draw_course: Callable[[Case, Generator], Course]
    yielding: Callable[[int, Case], float]
    oedema_mm: Callable[[Case], tuple[float, float]]
    swelling: Callable[[Case, float], float]
    cells: Callable[[int, Case], dict[str, str]]


WORLDS = {
    "plain": World(
        centers=CENTERS,
        draw_case=lambda seed, patient_id, center: model.draw_case(seed, patient_id),
        law=model.PlainGrowth,
        draw_course=model.draw_course,
        yielding=lambda seed, case: 1.0,
        oedema_mm=model.oedema_mm,
        swelling=lambda case, ivh_ml: 0.0,
        cells=model.known_cells,
    ),
    "clinical": World(
        centers=CLINICAL_CENTERS,
        draw_case=clinical_cases.draw_clinical_case,
        law=clinical_law.clinical_growth,
        draw_course=clinical_law.draw_course,
        yielding=clinical_law.draw_yielding,
        oedema_mm=clinical_law.oedema_mm,
        swelling=clinical_law.swelling,
        cells=clinical_law.known_cells,
    ),
}
"""By the name that `phantom.world` gives."""
