"""One patient of a world: variables, head and bleed."""

from dataclasses import replace

from hemexp.phantom.bleed import Shape, draw_shape
from hemexp.phantom.centers import Center
from hemexp.phantom.head import Head, draw_head
from hemexp.phantom.model import Case
from hemexp.phantom.world import World


def describe_patient(
    world: World, seed: int, patient_id: str, center: Center
) -> tuple[Case, Head, Shape]:
    """Draws a patient, who depends on the seed, the world and the centre alone."""
    case = world.draw_case(seed, patient_id, center.name)
    head = draw_head(seed, patient_id, case.age)
    return case, replace(head, yielding=world.yielding(seed, case)), draw_shape(seed, case)
