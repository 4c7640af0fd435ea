"""A bleed that shrank between two scans: a swapped pair, or an operation in between."""

from collections.abc import Mapping
from pathlib import Path

from hemexp import Fault
from hemexp.settings import Registration


def pair_faults(
    patient_id: str,
    files: Mapping[str, Path | str],
    iph_ml: Mapping[str, float],
    ivh_ml: Mapping[str, float],
    settings: Registration,
) -> list[Fault]:
    """A fault if the bleed shrank as no bleed does within days, else nothing.

    Two readings of a bleed differ by a few mL or by a tenth, and blood that broke into the
    ventricles is not lost: so both limits must be broken by what left the brain altogether. That
    finds a swapped pair when its bleed really grew by half or more.

    Args:
        patient_id: For the message.
        files: File to name for `baseline` and `followup`.
        iph_ml: Native IPH volume of `baseline` and `followup`.
        ivh_ml: Native IVH volume of both.
        settings: `largest_shrinkage` (part of the baseline IPH) and `largest_shrinkage_ml`.
    """
    before_ml, after_ml = iph_ml["baseline"], iph_ml["followup"]
    lost_ml = before_ml - after_ml - max(0.0, ivh_ml["followup"] - ivh_ml["baseline"])
    part = lost_ml / before_ml if before_ml else 0.0
    if lost_ml <= settings.largest_shrinkage_ml or part <= settings.largest_shrinkage:
        return []
    return [
        Fault(
            f"patient {patient_id}, {files['baseline']} and {files['followup']}",
            f"an IPH of {before_ml:.1f} mL at baseline and {after_ml:.1f} mL at follow-up",
            "a bleed that stays or grows, or shrinks by no more than "
            f"{settings.largest_shrinkage:g} of itself or {settings.largest_shrinkage_ml:g} mL "
            "(largest_shrinkage and largest_shrinkage_ml of preprocess.registration)",
            "Are baseline and follow-up swapped in the sheet? After an operation there is no "
            "growth to learn: take the patient's follow-up out of the sheet.",
        )
    ]
