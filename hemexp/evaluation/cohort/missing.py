"""Table `missing`: how many patients lack a clinical value, by variable and centre."""

import pandas as pd

from hemexp.columns import CLINICAL
from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.tables import table_of

COLUMNS = (*GROUP, "variable", "n", "n_unknown", "share_unknown")


def tabulate_missing(patients: pd.DataFrame) -> pd.DataFrame:
    """Unknown values of every clinical variable, in every split and centre.

    Args:
        patients: From `characteristics.clinical_values`: all who were kept, those who are
            trained on too.
    """
    rows = []
    for group, part in by_group(patients):
        for variable in (*CLINICAL, "sex"):
            unknown = int(part[variable].isna().sum())
            counts = {"n": len(part), "n_unknown": unknown, "share_unknown": unknown / len(part)}
            rows.append(group | {"variable": variable} | counts)
    return table_of(rows, COLUMNS)
