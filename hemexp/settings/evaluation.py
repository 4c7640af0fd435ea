"""Settings of the scores."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from hemexp.settings.section import Section


class Evaluation(Section):
    """Forecasts against what happened."""

    splits: list[Literal["val", "test"]] = Field(min_length=1)
    """Splits whose patients are forecast and scored. `[val]` while you choose settings, `[test]`
    in the end."""
    band_mm: PositiveFloat
    """mm, width of the band round the baseline bleed in which the expansion map is scored. More:
    more easy voxels far from blood."""
    surface_mm: PositiveFloat
    """mm; surfaces no further apart count as equal (surface Dice). More: laxer."""
    ivh_present_ml: NonNegativeFloat
    """mL of IVH above which it counts as present, in samples and in truth; less is single voxels.
    More: fewer patients have IVH."""
    redraws: PositiveInt
    """Follow-ups that the phantom draws again for a scored patient's true expansion map. More:
    slower, a finer true map."""
    what_if_patients: NonNegativeInt
    """Scored patients, the first by id, whose follow-ups are drawn again as if they had come at
    another time or were on (or off) an anticoagulant; 0: none, and none under `oracle`. More: each
    takes twice the time of their samples."""
    pit_bins: PositiveInt
    """Bars of the PIT histogram. More: finer, fewer patients in each."""
    bootstrap: PositiveInt
    """Resamples of patients behind every interval. More: slower, steadier limits."""
