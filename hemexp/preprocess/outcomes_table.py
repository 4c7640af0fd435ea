"""The table of outcomes, `outcomes.tsv`: what became of every usable patient's bleed."""

import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN
from hemexp.mask_error import growth_error_ml, read_mask_errors, uncertain_expansion
from hemexp.outcomes import expansion_outcomes, read_volumes

OUTCOMES = (
    "patient_id",
    "center",
    "split",
    "baseline_iph_ml",
    "baseline_ivh_ml",
    "followup_iph_ml",
    "followup_ivh_ml",
    "growth_ml",
    "ivh_growth_ml",
    "he",
    "he_6ml",
    "rhe",
)
OF_MASKS = ("baseline_mask", "followup_mask", "iph_error_ml", "ivh_error_ml", "he_uncertain")
"""Further columns of a run that made masks; one whose masks are all given has no use for them."""


def outcomes_table(layout: Layout, kept: pd.DataFrame) -> pd.DataFrame:
    """Rows of `outcomes.tsv` from the sheet's rows of usable patients."""
    patients = kept[["patient_id", "center", "split"]]
    table = expansion_outcomes(patients.join(read_volumes(layout, kept)))[list(OUTCOMES)]
    return add_masks(table, read_mask_errors(layout, kept))


def add_masks(table: pd.DataFrame, masks: pd.DataFrame) -> pd.DataFrame:
    """Joins where masks come from, and what that leaves uncertain, if any was made.

    Args:
        table: Columns `OUTCOMES`, indexed by patient_id.
        masks: As `read_mask_errors` gives them of the same patients.
    """
    sources = [f"{session}_mask" for session in SESSIONS]
    if masks[sources].isin((GIVEN, "")).all(axis=None):
        return table
    joined = table.join(masks[sources]).assign(
        iph_error_ml=growth_error_ml(masks), ivh_error_ml=growth_error_ml(masks, "ivh_error_ml")
    )
    return joined.assign(he_uncertain=uncertain_expansion(joined))
