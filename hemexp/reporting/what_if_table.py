"""The table of what-ifs that redraw images: drawn shifts beside true ones."""

import pandas as pd

from hemexp.reporting.cells import REMARK, number
from hemexp.what_if_cases import CASES

CASE_WORDS = {"anticoagulant": "On an anticoagulant against off", "onset": "Earlier against later"}
SHIFT_WORDS = {
    "iph_growth_ml": ("IPH growth, mL", 2),
    "ivh_growth_ml": ("IVH growth, mL", 2),
    "p_expansion": ("p(expansion)", 3),
    "map_ml": ("Sum of the map, mL", 2),
}
"""Words and digits."""


def describe_what_if_images(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/what_if_images.tsv` for people: means over patients, a row a case.

    Every shift is turned to one direction, on the drug or earlier, whatever a patient was as is;
    where that is unknown there is no direction, and the patient is left out and counted. So are
    real patients beside phantoms: drawn and true means are over the same ones.
    """
    return pd.DataFrame(
        _row(case, table[table["case"] == case]) for case in CASES if case in set(table["case"])
    )


def _row(case: str, rows: pd.DataFrame) -> dict[str, object]:
    directed = rows[rows["value"].notna()]
    in_truth = directed[directed["map_ml_true_shift"].notna()]
    known = directed if in_truth.empty else in_truth
    up = known["changed_to"] > known["value"]
    # An anticoagulant raises growth, and so do fewer hours.
    sign = (up if case == "anticoagulant" else ~up).map({True: 1.0, False: -1.0})
    cells: dict[str, object] = {"Contrast": CASE_WORDS[case], "Patients": len(known)}
    for name, (words, digits) in SHIFT_WORDS.items():
        for part, kind in (("_shift", "drawn"), ("_true_shift", "true")):
            cells[f"{words}: {kind}"] = number((sign * known[f"{name}{part}"]).mean(), digits)
    left_out = {
        "unknown as is": len(rows) - len(directed),
        "no true shift": len(directed) - len(known),
    }
    notes = [f"{count} left out: {why}" for why, count in left_out.items() if count]
    return cells | {
        "Correlation of map shifts": number(known["map_correlation"].mean(), 2),
        "Error of the map shift, mL": number(known["map_error_ml"].mean(), 2),
        "The same of no shift, mL": number(known["map_moved_ml"].mean(), 2),
        REMARK: "; ".join(filter(None, [*notes, *known["note"].unique()])),
    }
