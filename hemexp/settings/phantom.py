"""Settings of the phantom."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from hemexp.settings.section import Section


class Phantom(Section):
    """The synthetic cohort. Real scans do not read this."""

    seed: NonNegativeInt
    """Another number draws another cohort."""
    world: Literal["plain", "clinical"]
    """`plain`: growth with a gap, everybody's values known, true masks: for tests and quick looks.
    `clinical`: growth without a gap that takes hours, treatment, centres that differ, values not
    known, masks as people draw them."""
    spacing_factor: PositiveFloat
    """Multiplies every centre's in-plane voxel size. 1: a scanner's voxels; more: coarser scans
    that are drawn and read quicker."""
    truth_draws: PositiveInt
    """Points behind each mean growth in `truth.tsv`. More: slower, a more exact mean."""
